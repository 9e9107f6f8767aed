"""Reading attributes of /sys and /proc, and what their errors mean for a source.

Readers take the function that reads a file as a parameter: plain files of a test tree cannot raise
ENODATA, EAGAIN or EACCES, an overlay function can.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from edgeagent.record.samples import SourceState

Reader: TypeAlias = Callable[[Path], str]
"""Returns the text of a file; raises `OSError`."""

_MAX_BYTES = 1 << 20


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


def read_or_none(path: Path, read: Reader = read_text) -> str | None:
    """Return the stripped text of a file, `None` if it cannot be read."""
    try:
        return read(path).strip()
    except (OSError, ValueError):
        return None


def state_of(error: OSError) -> SourceState:
    """Tell what an error that a probe ran into says about the source."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return SourceState.PERMISSION
    if error.errno in {errno.ENODATA, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.EIO}:
        return SourceState.STALE
    if error.errno in {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}:
        return SourceState.UNSUPPORTED
    return SourceState.ABSENT
