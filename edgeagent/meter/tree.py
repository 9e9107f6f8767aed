"""The tree of files that a system tells about itself in, and what errors of reading it mean.

Readers of hardware take a `SystemTree`, so they can read another root than this machine's: a tree
of a test, or a capture of another machine. Plain files cannot raise ENODATA, EAGAIN or EACCES; a
tree with a reading function of its own can.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgeagent.record.samples import SourceState

Reader: TypeAlias = Callable[[Path], str]
"""Returns the text of a file; raises `OSError`."""

_MAX_BYTES = 1 << 20
_DIGITS = re.compile(r"([0-9]+)")


def read_text(path: Path) -> str:
    """Read a small kernel file; the first bytes only, should it not be small.

    Unbuffered, because an attribute of sysfs is computed once per read call.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        chunks: list[bytes] = []
        size = 0
        while size < _MAX_BYTES and (chunk := os.read(descriptor, 1 << 16)):
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks).decode("utf-8", errors="replace")
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class SystemTree:
    """Where the files of a system are and how one is read.

    Attributes:
        root: Folder that stands for `/`.
        read: Returns the text of one file below it; raises `OSError`.
    """

    root: Path = Path("/")
    read: Reader = read_text

    @property
    def sys(self) -> Path:
        """Where sysfs is mounted."""
        return self.root / "sys"

    @property
    def proc(self) -> Path:
        """Where procfs is mounted."""
        return self.root / "proc"

    def text(self, path: Path) -> str | None:
        """Return the stripped text of a file, `None` if it cannot be read."""
        try:
            return self.read(path).strip()
        except (OSError, ValueError):
            return None


THIS_MACHINE = SystemTree()


def state_of(error: OSError) -> SourceState:
    """Tell what an error that a probe ran into says about the source."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return SourceState.PERMISSION
    if error.errno in {errno.ENODATA, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.EIO}:
        return SourceState.STALE
    if error.errno in {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}:
        return SourceState.UNSUPPORTED
    return SourceState.ABSENT


def present(path: Path) -> bool:
    """Whether a file is there and may be looked at; a folder that may not be entered says no."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return what a pattern finds below a folder, cpu2 before cpu10; nothing if it is closed."""
    try:
        return in_order(folder.glob(pattern))
    except OSError:
        return []


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Sort by name with numbers as numbers: cpu2 before cpu10."""

    def key(path: Path) -> list[tuple[int, str]]:
        parts = _DIGITS.split(path.name)
        return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]

    return sorted(paths, key=key)
