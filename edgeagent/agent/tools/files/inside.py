"""Opening a file below a folder, whatever its name tries and whatever changes meanwhile."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from edgeagent.errors import ToolError

MAX_NAME_CHARS = 1024

_ABSOLUTE = re.compile(r"[/\\~]|[A-Za-z]:")
_WINDOWS_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(?:\..*)?", re.IGNORECASE
)
_WINDOWS_REFUSED = frozenset('<>:"|?*')
"""A colon names a drive or another stream of the same file."""


def name_parts(name: str, *, windows: bool = os.name == "nt") -> tuple[str, ...]:
    """Return the parts of a relative name, once nothing in it can lead elsewhere.

    Raises:
        ToolError: It is absolute, goes up, is hidden or means something else to the system.
    """
    if not name or len(name) > MAX_NAME_CHARS or "\0" in name:
        raise ToolError("there is no file of this name")
    if _ABSOLUTE.match(name):
        raise ToolError("write a name as it is listed, without a place before it")
    parts = [part for part in re.split(r"[/\\]" if windows else "/", name) if part not in ("", ".")]
    for part in parts:
        if part == "..":
            raise ToolError("a name cannot lead out of its folder")
        if part.startswith("."):
            raise ToolError("hidden files cannot be read")
        if windows and _means_else_on_windows(part):
            raise ToolError("there is no file of this name")
    return tuple(parts)


def _means_else_on_windows(part: str) -> bool:
    """Whether Windows takes a name for a device, a stream or another file's name."""
    return bool(
        _WINDOWS_DEVICE.fullmatch(part)
        or part[-1] in ". "
        or any(char in _WINDOWS_REFUSED or char < " " for char in part)
    )


def open_inside(folder: Path, name: str) -> BinaryIO:
    """Open a regular file below a folder for reading.

    A link is followed if it leads to a file below the folder. What was checked is what is opened:
    where the system can, each part is opened from the one before it without following links, so
    that nothing can be exchanged in between; where it cannot, the open file is held against the
    checked one.

    Args:
        folder: The folder that nothing may lead out of.
        name: Relative to it, with forward slashes.

    Raises:
        ToolError: There is no such file, it is no regular file, or it lies elsewhere.
    """
    parts = name_parts(name)
    try:
        top = folder.resolve(strict=True)
        target = top.joinpath(*parts).resolve(strict=True)
        if not target.is_relative_to(top):
            raise ToolError("it links to a file outside of its folder")
        inner = target.relative_to(top).parts
        if any(part.startswith(".") for part in inner):
            raise ToolError("hidden files cannot be read")
        if not inner:
            raise ToolError("it is a folder")
        descriptor = _open_by_parts(top, inner) if _CAN_OPEN_BY_PARTS else _open_checked(target)
    except (OSError, RuntimeError, ValueError) as error:  # also links in a circle, odd names
        raise ToolError(_reason(error)) from error
    return os.fdopen(descriptor, "rb")


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "it may not be read"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"it cannot be read ({error.strerror or type(error).__name__})"
    return "there is no file of this name"


_CAN_OPEN_BY_PARTS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    # A pipe that nobody writes to would block, a terminal could become ours.
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


def _open_by_parts(top: Path, parts: tuple[str, ...]) -> int:
    parent = os.open(top, _FOLDER)
    try:
        for part in parts[:-1]:
            child = os.open(part, _FOLDER, dir_fd=parent)
            os.close(parent)
            parent = child
        # Opening a device may already do something, so it is looked at before, too.
        _check_regular(os.stat(parts[-1], dir_fd=parent, follow_symlinks=False))
        return _checked(os.open(parts[-1], _FILE, dir_fd=parent))
    finally:
        os.close(parent)


def _open_checked(target: Path) -> int:
    before = target.lstat()
    _check_regular(before)
    descriptor = _checked(os.open(target, _FILE))
    try:
        same = os.path.samestat(os.fstat(descriptor), before)
        if not same or target.resolve(strict=True) != target:
            raise ToolError("it was exchanged while it was opened; try again")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _checked(descriptor: int) -> int:
    try:
        _check_regular(os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(facts: os.stat_result) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise ToolError("it is a folder")
    if not stat.S_ISREG(facts.st_mode):
        raise ToolError("it is no regular file")
