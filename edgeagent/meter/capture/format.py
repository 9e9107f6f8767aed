"""The file of a capture: one JSON object, gzipped if its name ends in `.gz`."""

from __future__ import annotations

from base64 import b64decode
from enum import StrEnum

from edgeagent.record.base import Record

CAPTURE_FORMAT = "edgeagent sensor tree"
CAPTURE_VERSION = 1

MAX_FILES = 10_000
MAX_LINKS = 10_000
MAX_FRAMES = 1_000
MAX_TEXT_CHARS = 1 << 16
MAX_TOTAL_CHARS = 16 << 20
MAX_PATH_CHARS = 1 << 10


class Origin(StrEnum):
    """Where the values come from; only the first kind may count as evidence."""

    CAPTURED = "captured"
    TRANSCRIBED = "transcribed"
    SYNTHETIC = "synthetic"


class Reading(Record):
    """What reading a file gave, from this frame on until another reading replaces it.

    Attributes:
        frame: Index of the frame.
        text: The text, `None` if reading failed or the file is not text.
        base64: The bytes of a file that is not text, empty otherwise.
        error: Name of the error number, such as `EACCES`; empty if reading worked.
    """

    frame: int
    text: str | None = None
    base64: str = ""
    error: str = ""

    def as_bytes(self) -> bytes:
        """Return what the file held, nothing if reading failed; raises `ValueError` for damage."""
        if self.base64:
            return b64decode(self.base64, validate=True)
        return (self.text or "").encode("utf-8", "replace")


class CapturedFile(Record):
    """One file.

    Attributes:
        path: Where it really is, below `/`, links resolved.
        readings: What it gave, in order of frames; frames that gave the same are left out.
        read_us: Longest time that one reading took, in microseconds.
    """

    path: str
    readings: tuple[Reading, ...]
    read_us: int | None = None


class Capture(Record):
    """A sensor tree over a few seconds.

    Attributes:
        schema_version: Version of this format.
        format: Says what this file is.
        origin: Whether it was captured, transcribed or made up.
        note: What else should be known about it.
        edgeagent_version: Version that captured.
        system: Operating system and release.
        machine: Architecture.
        frame_t_s: When each frame was read, in seconds after the first.
        links: Symbolic links: path to relative target.
        files: The files, sorted by path.
        left_out: Paths that were not taken, and why.
        removed: How many identifying parts were replaced, for each kind.
    """

    schema_version: int = CAPTURE_VERSION
    format: str = CAPTURE_FORMAT
    origin: Origin = Origin.CAPTURED
    note: str = ""
    edgeagent_version: str
    system: str
    machine: str
    frame_t_s: tuple[float, ...]
    links: dict[str, str]
    files: tuple[CapturedFile, ...]
    left_out: dict[str, str]
    removed: dict[str, int]
