"""The scratch folder as its owner sees it: nothing in there is trusted, not even its depth."""

from __future__ import annotations

import contextlib
import os
import secrets

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

    Folders in it may be nested deeper than a path can say, and unreadable. So the content of each
    is moved up, and nothing is ever deeper than two.
    """
    with contextlib.suppress(OSError):
        number, prefix = 0, f"{folder}/.{secrets.token_hex(8)}-"  # which nothing in it has
        while entries := _entries(folder):
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)  # noqa: PTH108 - beside `scandir`
                    continue
                os.chmod(entry.path, 0o700)  # noqa: PTH101
                for child in _entries(entry.path):
                    if child.is_dir(follow_symlinks=False):
                        os.chmod(child.path, 0o700)  # noqa: PTH101 - or it could not be moved
                    number += 1
                    os.rename(child.path, f"{prefix}{number}")  # noqa: PTH104
                os.rmdir(entry.path)  # noqa: PTH106
        os.rmdir(folder)  # noqa: PTH106


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)
