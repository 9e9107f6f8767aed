"""Emptying the page cache of some files, so that a load comes from storage, and checking it.

`posix_fadvise(POSIX_FADV_DONTNEED)` drops clean pages that no process has mapped; so the files are
written out first, and `mincore` tells afterwards what is left. Both are there on Linux; elsewhere
cold loads are not measured. A hypervisor or the storage may still hold the data in caches of its
own, which no program inside can tell.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DROPPED_SHARE = 0.01
"""At most so much may be left for a load to count as cold."""

_PROT_READ, _MAP_SHARED = 1, 1
_MAP_FAILED = ctypes.c_void_p(-1).value


@dataclass(frozen=True, slots=True)
class Dropped:
    """What became of the files' pages.

    Attributes:
        cold: Whether they are gone.
        resident_share: Share that is still in memory, `None` if the system does not tell.
        reason: Why they are not known to be gone; empty if they are.
    """

    cold: bool
    resident_share: float | None = None
    reason: str = ""


def drop_from_page_cache(files: Iterable[Path]) -> Dropped:
    """Drop files from the page cache and look whether they are gone."""
    if not _can_drop():
        return Dropped(cold=False, reason=f"{sys.platform} has no way to empty it without root")
    found = [path for path in files if path.is_file()]
    try:
        for path in found:
            _drop(path)
    except OSError as error:
        return Dropped(cold=False, reason=f"it cannot be emptied ({error.strerror or error})")
    share = resident_share(found)
    if share is None:
        return Dropped(cold=False, reason="the system does not tell whether it is empty")
    if share > DROPPED_SHARE:
        reason = f"{100 * share:.0f} % of the files stayed in memory, as another process uses them"
        return Dropped(cold=False, resident_share=share, reason=reason)
    return Dropped(cold=True, resident_share=share)


def _can_drop() -> bool:
    """Some C libraries of Linux lack the call."""
    return sys.platform == "linux" and hasattr(os, "posix_fadvise")


def _drop(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # pages that are not written out yet cannot be dropped
        if sys.platform == "linux":
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def resident_share(files: Iterable[Path]) -> float | None:
    """Return which share of the files' pages is in memory, `None` if the system does not tell.

    See `mincore(2)`. Since Linux 5.2 it says that everything is there for a file that the caller
    may not write, which errs on the safe side here.
    """
    pages = resident = 0
    try:
        library = ctypes.CDLL(None, use_errno=True)
        for path in files:
            size = path.stat().st_size
            if size:
                states = _page_states(library, path, size)
                pages += len(states)
                resident += sum(state & 1 for state in states)
    except (OSError, AttributeError, TypeError):  # Windows has no library of the process itself
        return None
    return resident / pages if pages else None


def _page_states(library: ctypes.CDLL, path: Path, size: int) -> bytes:
    """Return one byte per page, whose lowest bit tells whether it is in memory.

    Mapped by hand, as Python's own `mmap` does not give the address of a read-only map.
    """
    map_file, unmap, mincore = library.mmap, library.munmap, library.mincore
    map_file.restype = ctypes.c_void_p
    map_file.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    states = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        address = map_file(None, size, _PROT_READ, _MAP_SHARED, descriptor, 0)
    finally:
        os.close(descriptor)
    if address == _MAP_FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        if mincore(address, size, states) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        unmap(address, size)
    return states.raw
