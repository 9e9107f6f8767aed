"""JSON Lines files of records: appended one line at a time, readable after a crash.

A line counts once its newline is on the disk. So a process that is killed, or a device that loses
power, leaves at most one torn line at the end of a file: a reader reports and skips it, and
`truncate_torn_tail` removes it before the file is appended to again. Anything else that does not
parse is damage, and an error with the file's name and the line's number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import ValidationError

from edgeagent.errors import ResourceError, RunDataError
from edgeagent.record.base import Record

MAX_LINE_BYTES = 16 << 20
"""Longest line that is read; a task with a hundred thousand token times needs two megabytes."""

_TAIL_BLOCK_BYTES = 1 << 16

RecordT = TypeVar("RecordT", bound=Record)


def append(path: Path, record: Record, *, durable: bool = False) -> None:
    """Append the record as one line with one write; a failed write leaves the file as it was.

    Args:
        path: The file, created if it does not exist; its folder must exist.
        record: What to write.
        durable: Whether to wait until the line is on the disk (fsync), so that it survives a loss
            of power; costs milliseconds, more on an SD card.

    Raises:
        ResourceError: The disk is full or the file cannot be written.
    """
    line = record.model_dump_json().encode() + b"\n"
    try:
        with path.open("ab", buffering=0) as file:
            length = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError("the disk is full")
            except BaseException:
                file.truncate(length)
                raise
            if durable:
                os.fsync(file.fileno())
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written ({error.strerror or error}); "
            "free some disk space or make the folder writable."
        ) from error


def read(
    path: Path, record_type: type[RecordT], *, on_torn: Callable[[str], None] | None = None
) -> Iterator[RecordT]:
    """Yield the records of a file, one line in memory at a time.

    Args:
        path: The file.
        record_type: What every line is.
        on_torn: Told one sentence if the last line was torn and therefore skipped.

    Raises:
        RunDataError: The file cannot be read, or a line is too long, is not a record of this type
            or has another schema version.
    """
    try:
        with path.open("rb") as file:
            yield from _read_lines(file, path, record_type, on_torn)
    except OSError as error:
        raise RunDataError(f"{path} cannot be read ({error.strerror or error}).") from error


def _read_lines(
    file: BinaryIO,
    path: Path,
    record_type: type[RecordT],
    on_torn: Callable[[str], None] | None,
) -> Iterator[RecordT]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        where = f"{path}, line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise RunDataError(
                f"{where} is longer than {MAX_LINE_BYTES >> 20} MiB; the file is damaged."
            )
        if not line.endswith(b"\n"):
            if on_torn is not None:
                on_torn(f"{where} was not written to its end and is left out.")
            return
        yield _parse(line, record_type, where)


def _parse(line: bytes, record_type: type[RecordT], where: str) -> RecordT:
    expected = getattr(record_type.model_fields.get("schema_version"), "default", None)
    try:
        record = record_type.model_validate_json(line)
    except ValidationError as error:
        if (found := _schema_version(line)) not in (expected, None):
            raise _version_error(where, found, expected) from error
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RunDataError(
            f"{where} is damaged: {f'{field}: ' if field else ''}{first['msg']}."
        ) from error
    if expected is not None:
        if "schema_version" not in record.model_fields_set:
            raise RunDataError(f"{where} has no schema_version; it is not a file of edgeagent.")
        found = getattr(record, "schema_version", None)
        if found != expected:
            raise _version_error(where, found, expected)
    return record


def _schema_version(line: bytes) -> int | None:
    """Return the version that a line claims which did not validate, `None` if it claims none."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    version = data.get("schema_version") if isinstance(data, dict) else None
    return version if isinstance(version, int) else None


def _version_error(where: str, found: object, expected: object) -> RunDataError:
    return RunDataError(
        f"{where} has schema version {found}, this edgeagent reads version {expected}; "
        "open it with the edgeagent version that its config names, or profile again."
    )


def truncate_torn_tail(path: Path) -> int:
    """Cut off a last line without a newline, so that the file can be appended to again.

    Returns:
        Number of bytes cut off; 0 if the file is whole, empty or missing.

    Raises:
        ResourceError: The file cannot be opened for writing.
    """
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            keep = _end_of_last_line(file, size)
            if keep < size:
                file.truncate(keep)
            return size - keep
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written ({error.strerror or error}); make the file writable."
        ) from error


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    """Return the offset behind the last newline, found by reading backwards in blocks."""
    end = size
    while end > 0:
        start = max(0, end - _TAIL_BLOCK_BYTES)
        file.seek(start)
        position = file.read(end - start).rfind(b"\n")
        if position >= 0:
            return start + position + 1
        end = start
    return 0
