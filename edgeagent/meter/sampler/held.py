"""Reading the same few kernel files again and again, without opening them each time.

Opening an attribute of sysfs or procfs costs more than reading it. The kernel computes its text
anew for every read from offset zero, so one descriptor serves for as long as the file exists.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgeagent.meter.tree import read_text

MAX_HELD = 128
"""Descriptors that are kept at most; a process may open 256 on macOS, 1024 on most Linux."""

_PAGE_BYTES = 4096
"""Longest text of a sysfs attribute (Linux `Documentation/filesystems/sysfs.rst`)."""

_CHUNK_BYTES = 1 << 16
_MAX_BYTES = 1 << 20


class HeldFiles:
    """A `Reader` of `edgeagent.meter.tree` that keeps descriptors of kernel files open.

    A file is held from its second reading on, so that a discovery, which looks at hundreds of files
    once, does not keep them all. A descriptor that fails is closed, and the next reading opens the
    file again: hardware that was unplugged and came back is found. Files that are not the kernel's
    may be replaced by a new one of the same name; then the old one has no name any more.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held: dict[Path, int] = {}
        self._seen: set[Path] = set()

    def __call__(self, path: Path) -> str:
        """Return the text of a file; raises `OSError`."""
        descriptor = self._held.get(path)
        if descriptor is None:
            if path not in self._seen or not hasattr(os, "pread"):
                self._seen.add(path)
                return read_text(path)
            if len(self._held) >= MAX_HELD:
                return read_text(path)
            descriptor = self._open(path)
        try:
            if os.fstat(descriptor).st_nlink == 0:
                self._drop(path)
                descriptor = self._open(path)
            return _read_from_start(descriptor)
        except OSError:
            self._drop(path)
            raise

    def _open(self, path: Path) -> int:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._held[path] = descriptor
        return descriptor

    def _drop(self, path: Path) -> None:
        descriptor = self._held.pop(path, None)
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __len__(self) -> int:
        """Return how many files are held."""
        return len(self._held)

    def close(self) -> None:
        """Close every descriptor; the object stays usable."""
        for path in tuple(self._held):
            self._drop(path)


def _read_from_start(descriptor: int) -> str:
    """Read all; only a text as long as a page or longer needs a look for more behind it.

    Files of procfs with one record each (`status`, `meminfo`, `smaps_rollup`) come whole in one
    read, whatever their length; a list, such as `stat` of many processors, may come in pieces of
    about a page.
    """
    text = os.pread(descriptor, _CHUNK_BYTES, 0)
    if len(text) >= _PAGE_BYTES // 2:
        chunks, size = [text], len(text)
        while size < _MAX_BYTES and (chunk := os.pread(descriptor, _CHUNK_BYTES, size)):
            chunks.append(chunk)
            size += len(chunk)
        text = b"".join(chunks)
    return text.decode("utf-8", errors="replace")
