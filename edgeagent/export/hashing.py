"""Hashing the source while it is exported: one core reads and packs, another hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from edgeagent.errors import SourceError

_CHUNK_BYTES = 1 << 20


@contextmanager
def hashed(files: Sequence[Path]) -> Iterator[Future[dict[Path, str]]]:
    """Hash files in the background; the block gets the promise of their SHA-256.

    The block's end waits for it; if the block raises, hashing stops.
    """
    stop = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as pool:
        try:
            yield pool.submit(lambda: {path: _sha256(path, stop) for path in files})
        except BaseException:
            stop.set()
            raise


def combined(hashes: dict[Path, str]) -> str:
    """One hash for a checkpoint: the file's own, or that of the list that `sha256sum` prints."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = sorted((path.name, digest) for path, digest in hashes.items())
    text = "".join(f"{digest}  {name}\n" for name, digest in lines)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _sha256(path: Path, stop: Event) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while not stop.is_set() and (chunk := file.read(_CHUNK_BYTES)):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()
