"""Finding the files below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_MOUNT_POINT = 0xA0000003
"""`IO_REPARSE_TAG_MOUNT_POINT` of Windows' winnt.h."""


def walk(folder: Path, on_skipped: Callable[[str, str], None]) -> Iterator[str]:
    """Yield the relative names of the regular files below a folder, with forward slashes.

    Hidden files and folders are none of anybody's business and left out without a word. Links to
    folders are not followed. The order is the system's.

    Args:
        folder: Where to look.
        on_skipped: Told the name and the reason of what cannot be looked at.

    Raises:
        OSError: The folder itself cannot be read.
    """
    top = folder.resolve(strict=True)
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(top / prefix) as entries:
                found = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            if not prefix:
                raise
            on_skipped(prefix.rstrip("/"), f"it cannot be read ({error.strerror})")
            continue
        for entry in found:
            name = f"{prefix}{entry.name}"
            if entry.is_symlink():
                if reason := _why_not_followed(entry, top):
                    on_skipped(name, reason)
                else:
                    yield name
            elif entry.is_dir(follow_symlinks=False):
                if not _is_junction(entry):
                    waiting.append(f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                yield name


def _why_not_followed(link: os.DirEntry[str], top: Path) -> str | None:
    try:
        target = Path(link.path).resolve(strict=True)
    except (OSError, RuntimeError):
        return "it links to nothing"
    if not target.is_relative_to(top):
        return "it links to a place outside of its folder"
    return None if target.is_file() else "it links to a folder"


def _is_junction(entry: os.DirEntry[str]) -> bool:
    """Whether a folder of Windows is another one's second name: a link that is none to Python."""
    facts = entry.stat(follow_symlinks=False)
    return getattr(facts, "st_reparse_tag", 0) == _MOUNT_POINT
