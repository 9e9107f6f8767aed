"""Weights that are already on this machine; they are used where they lie and never changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgeagent.config.model import LocalSource
from edgeagent.errors import SourceError
from edgeagent.export.sources.stamp import read_stamp, write_stamp
from edgeagent.export.sources.transfer import OnProgress, require_sha256, sha256_of


def local_path(source: LocalSource, folder: Path) -> Path:
    """Return the absolute path that a local source means; the file need not exist.

    Raises:
        SourceError: The path cannot be resolved.
    """
    try:
        return (folder / Path(source.path).expanduser()).resolve()
    except (RuntimeError, OSError, ValueError) as error:
        raise SourceError(f"{source.path} is not a usable path: {error}") from error


def find_local(source: LocalSource, folder: Path, on_progress: OnProgress) -> Path:
    """Return the file that a local source names, verified where its hash is known.

    The stamp is kept in `folder/.stamps`, since the file's own folder belongs to the user.

    Args:
        source: The source.
        folder: Folder that relative paths are relative to.
        on_progress: Told how far hashing is.

    Raises:
        SourceError: The file is missing, unreadable or not the one expected; it is left alone.
    """
    path = local_path(source, folder)
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    if source.sha256 is None:
        return path
    key = hashlib.sha256(str(path).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    place = folder / ".stamps" / f"{key}.json"
    if stamp := read_stamp(path, at=place):
        require_sha256(stamp.sha256, source.sha256)
        return path
    actual = sha256_of(path, source.origin, on_progress)
    require_sha256(actual, source.sha256)
    write_stamp(path, actual, source.origin, at=place)
    return path
