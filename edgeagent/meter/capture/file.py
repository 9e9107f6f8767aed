"""Writing captures and loading them; what others send is not trusted."""

from __future__ import annotations

import gzip
import re
import zlib
from itertools import pairwise
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from edgeagent.errors import RunDataError
from edgeagent.meter.capture.format import (
    CAPTURE_FORMAT,
    CAPTURE_VERSION,
    MAX_FILES,
    MAX_FRAMES,
    MAX_LINKS,
    MAX_PATH_CHARS,
    MAX_TEXT_CHARS,
    MAX_TOTAL_CHARS,
    Capture,
    CapturedFile,
)
from edgeagent.record.atomic import write_bytes

_MAX_FILE_BYTES = 64 << 20
"""Of the JSON; what is longer cannot be within the limits of the format."""

_GZIP_MAGIC = b"\x1f\x8b"
_ERROR_NAME = re.compile(r"E[A-Z0-9]{1,20}")


def save_capture(capture: Capture, path: Path) -> int:
    """Write the file, gzipped if its name ends in `.gz`; return its size in bytes.

    Raises:
        ResourceError: The file cannot be written; an old one of that name is intact.
    """
    data = (capture.model_dump_json(indent=1, exclude_defaults=False) + "\n").encode()
    if path.name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    write_bytes(path, data)
    return len(data)


def load_capture(path: Path) -> Capture:
    """Read a capture and check everything that replaying it relies on.

    Raises:
        RunDataError: The file cannot be read, is too large, is no capture, has another version, or
            names paths that would leave the folder it is played back in.
    """
    data = _read_limited(path)
    try:
        capture = Capture.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunDataError(
            f"{path} is not a capture of `edgeagent doctor --capture`: "
            f"{f'{where}: ' if where else ''}{first['msg']}."
        ) from error
    if capture.format != CAPTURE_FORMAT or capture.schema_version != CAPTURE_VERSION:
        raise RunDataError(
            f"{path} has version {capture.schema_version} of {capture.format!r}; this edgeagent "
            f"reads version {CAPTURE_VERSION} of {CAPTURE_FORMAT!r}."
        )
    if problem := _problem(capture):
        raise RunDataError(f"{path} cannot be replayed: {problem}.")
    return capture


def _read_limited(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        if data.startswith(_GZIP_MAGIC):
            unzip = zlib.decompressobj(wbits=31)
            data = unzip.decompress(data, _MAX_FILE_BYTES + 1)
            if len(data) <= _MAX_FILE_BYTES and not unzip.eof:
                raise RunDataError(f"{path} is not whole; have it sent again.")
    except OSError as error:
        raise RunDataError(f"{path} cannot be read ({error.strerror or error}).") from error
    except zlib.error as error:
        raise RunDataError(f"{path} is damaged ({error}); have it sent again.") from error
    if len(data) > _MAX_FILE_BYTES:
        raise RunDataError(f"{path} is larger than {_MAX_FILE_BYTES >> 20} MiB; it is no capture.")
    return data


def _problem(capture: Capture) -> str:
    """Return what is wrong with a capture, empty if nothing."""
    frames = len(capture.frame_t_s)
    return (
        _limits_problem(capture)
        or _paths_problem(capture)
        or next(filter(None, (_readings_problem(file, frames) for file in capture.files)), "")
    )


def _limits_problem(capture: Capture) -> str:
    counts = (
        (len(capture.files), MAX_FILES, "files"),
        (len(capture.links), MAX_LINKS, "links"),
        (len(capture.frame_t_s), MAX_FRAMES, "frames"),
        (sum(_chars(file) for file in capture.files), MAX_TOTAL_CHARS, "characters"),
    )
    for count, limit, what in counts:
        if count > limit:
            return f"it has {count} {what}, more than {limit}"
    times_s = capture.frame_t_s
    if not times_s or any(later < earlier for earlier, later in pairwise(times_s)):
        return "its frames are not in order of time"
    return ""


def _paths_problem(capture: Capture) -> str:
    """Files lie below real folders, and links lead straight to where something really is.

    A link that leads to another one, or back through one, could end above the root although each
    of the two looks harmless.
    """
    names = [file.path for file in capture.files]
    taken = {*names, *capture.links}
    if len(taken) < len(names) + len(capture.links):
        return "a path occurs twice"
    for name in taken:
        if not _is_safe(name):
            return f"{name[:80]!r} is not a path below the root"
        if above := next((str(p) for p in PurePosixPath(name).parents if str(p) in taken), ""):
            return f"{name[:80]!r} lies below {above[:80]!r}, which is not a folder"
    for name, target in capture.links.items():
        place = _target_below_root(name, target)
        if place is None or any(
            str(path) in capture.links
            for path in (PurePosixPath(place), *PurePosixPath(place).parents)
        ):
            return f"the link {name[:80]!r} does not lead straight to a place in the tree"
    return ""


def _chars(file: CapturedFile) -> int:
    return sum(len(reading.text or reading.base64) for reading in file.readings)


def _is_safe(name: str) -> bool:
    parts = name.split("/")
    return (
        0 < len(name) <= MAX_PATH_CHARS
        and name.isprintable()
        and "\\" not in name
        and all(part not in {"", ".", ".."} and len(part) <= 255 for part in parts)
    )


def _target_below_root(name: str, target: str) -> str | None:
    """Return where a relative target leads, `None` if it is not of the form `../../a/b`."""
    parts = target.split("/")
    ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    above = name.split("/")[:-1]
    if ups > len(above) or len(target) > MAX_PATH_CHARS:
        return None
    place = "/".join((*above[: len(above) - ups], *parts[ups:]))
    return place if _is_safe(place) else None


def _readings_problem(file: CapturedFile, frames: int) -> str:
    name = repr(file.path[:80])
    order = [reading.frame for reading in file.readings]
    if not order or order[0] != 0 or order[-1] >= frames or sorted(set(order)) != order:
        return f"{name} has readings of frames that do not exist or are out of order"
    for reading in file.readings:
        if (reading.text is not None) + bool(reading.base64) + bool(reading.error) != 1:
            return f"{name} has a reading that neither worked nor failed"
        if reading.error and not _ERROR_NAME.fullmatch(reading.error):
            return f"{name} has an error without a name"
        if len(reading.text or reading.base64) > MAX_TEXT_CHARS:
            return f"{name} is too long"
        try:
            reading.as_bytes()
        except ValueError:
            return f"{name} has bytes that cannot be decoded"
    return ""
