"""The scratch folder as its owner sees it: nothing in there is trusted, not even its depth."""

from __future__ import annotations

import contextlib
import os

from edgeagent.agent.tools.sandbox.limits import SandboxLimits

_BLOCK_BYTES = 512
"""Unit of `st_blocks`, whatever the file system's own is."""


def too_full(folder: str, limits: SandboxLimits) -> bool:
    """Whether files in a folder take more than the limits allow, or are hidden from us.

    What was deleted while open is not seen; file size and open files bound it.
    """
    hidden: list[OSError] = []
    size_bytes = files = 0
    for parent, folders, names in os.walk(folder, onerror=hidden.append):
        files += len(folders) + len(names)
        for name in names:
            with contextlib.suppress(OSError):  # it was removed meanwhile
                size_bytes += os.lstat(f"{parent}/{name}").st_blocks * _BLOCK_BYTES
        if files > limits.scratch_files or size_bytes > limits.scratch_bytes:
            return True
        if any(isinstance(error, PermissionError) for error in hidden):
            return True
    return False


def remove_folder(folder: str) -> None:
    """Remove a folder and everything in it, as far as the system lets us.

    Folders in it may be nested deeper than a path or a recursion can go, and unreadable. So this
    walks on foot: down into a folder that is not empty, and up again to remove it.
    """
    with contextlib.suppress(OSError):
        way: list[str] = []
        here = os.open(folder, _FOLDER)
        try:
            while True:
                below = _empty(here)
                if below is not None:
                    way.append(below)
                    here = _step(here, below)
                elif way:
                    here = _step(here, "..")
                    os.rmdir(way.pop(), dir_fd=here)
                else:
                    break
        finally:
            os.close(here)
        os.rmdir(folder)  # noqa: PTH106 - beside its other forms


_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


def _step(here: int, name: str) -> int:
    """Return the folder of that name, and let go of the one before."""
    there = os.open(name, _FOLDER, dir_fd=here)
    os.close(here)
    return there


def _empty(here: int) -> str | None:
    """Remove what can be removed at once, and return a folder that is not empty."""
    below = None
    with os.scandir(here) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=here)
            continue
        os.chmod(name, 0o700, dir_fd=here)
        try:
            os.rmdir(name, dir_fd=here)
        except OSError:
            below = name
    return below
