"""Remember what a file's hash was, so that hundreds of megabytes are hashed once and not per run.

A stamp is a small JSON file beside the weights. It holds while size and modification time of the
weights are the same; it saves time and proves nothing against somebody who can write to the folder.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

_MAX_STAMP_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is known about a file.

    Attributes:
        sha256: Of the whole file.
        size_bytes: When it was hashed.
        mtime_ns: When it was hashed.
        origin: Where the file came from, in words.
    """

    sha256: str
    size_bytes: int
    mtime_ns: int
    origin: str


def stamp_path(path: Path) -> Path:
    """Return the place of a file's stamp."""
    return path.with_name(f"{path.name}.stamp.json")


def write_stamp(path: Path, sha256: str, origin: str, *, at: Path | None = None) -> None:
    """Write the stamp of a file, to `at` if not beside it."""
    stat = path.stat()
    stamp = Stamp(sha256, stat.st_size, stat.st_mtime_ns, origin)
    place = at or stamp_path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(asdict(stamp)), encoding="utf-8")
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def read_stamp(path: Path, *, at: Path | None = None) -> Stamp | None:
    """Return the stamp of a file if it is there, whole, and still true of the file."""
    place = at or stamp_path(path)
    try:
        if place.stat().st_size > _MAX_STAMP_BYTES:
            return None
        data = json.loads(place.read_text(encoding="utf-8"))
        stamp = Stamp(
            str(data["sha256"]),
            int(data["size_bytes"]),
            int(data["mtime_ns"]),
            str(data["origin"]),
        )
        stat = path.stat()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    same = (stamp.size_bytes, stamp.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    return stamp if same else None
