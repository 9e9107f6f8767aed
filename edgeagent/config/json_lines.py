"""Reading tasks and questions from JSON files that somebody else wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from edgeagent.errors import ConfigError

MAX_FILE_BYTES = 256 << 20
MAX_LINE_BYTES = 4 << 20
"""A task with a passage of text is a few thousand bytes."""


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the objects of a file that has one JSON object a line, with line numbers from 1.

    Empty lines are skipped.

    Raises:
        ConfigError: The file cannot be read, is too large, or a line is not a JSON object.
    """
    _check_size(path)
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                where = f"{path}, line {number}"
                if len(line) > MAX_LINE_BYTES:
                    raise ConfigError(f"{where} is longer than {MAX_LINE_BYTES >> 20} MiB.")
                if line.strip():
                    yield number, _object(line, where)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def read_json(path: Path) -> object:
    """Return the value of a JSON file.

    Raises:
        ConfigError: The file cannot be read, is too large or is not JSON.
    """
    _check_size(path)
    try:
        return _value(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def _check_size(path: Path) -> None:
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: there is no such file.") from error
    if not path.is_file():
        raise ConfigError(f"{path} cannot be read: it is not a file.")
    if size > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB.")


def _object(line: bytes, where: str) -> dict[str, object]:
    value = _value(line, where)
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is not a JSON object.")
    return value


def _value(content: bytes, where: str) -> object:
    try:
        value: object = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{where} is not valid JSON: {reason}.") from error
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
