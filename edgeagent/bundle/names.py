"""Which file names a bundle may hold: those that mean the same file on every system.

A name that is harmless here may lead out of the folder, open a device or replace another file
elsewhere. So a bundle is refused for such a name on every system, when it is made and when it is
installed. Sources: "Naming Files, Paths, and Namespaces" of the Windows documentation, and the
limits of the POSIX ustar header.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

MAX_NAME_BYTES = 240
"""In UTF-8. A ustar header holds 255, and Windows opens 260 characters, its folder included."""

NAME_BYTES = 100
PREFIX_BYTES = 155
"""Fields of a ustar header, which are joined by a slash."""

_WINDOWS_FORBIDDEN = frozenset('<>:"|?*\\')
_WINDOWS_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
    + [f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"]
)


def problem_with(name: str) -> str | None:
    """Return why a bundle may not hold a file of this name, `None` if it may.

    Args:
        name: Path inside the bundle, with forward slashes.
    """
    if any(char in _WINDOWS_FORBIDDEN or not char.isprintable() for char in name):
        return "has a backslash, a colon, a control character or another one that Windows refuses"
    if not 0 < len(name.encode("utf-8")) <= MAX_NAME_BYTES:
        return f"is empty or longer than {MAX_NAME_BYTES} bytes"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode's normal form NFC"
    for part in name.split("/"):
        if (problem := _problem_with_part(part)) is not None:
            return problem
    if split_for_header(name) is None:
        return f"has a part of more than {NAME_BYTES} bytes, or too many folders"
    return None


def _problem_with_part(part: str) -> str | None:
    if part in {"", ".", ".."}:
        return "is absolute or leads through '.', '..' or an empty folder name"
    if part != part.strip(" ") or part.endswith("."):
        return "has a part that begins or ends with a space, or ends with a dot"
    if part.split(".", maxsplit=1)[0].rstrip(" ").casefold() in _WINDOWS_DEVICES:
        return "is the name of a device on Windows"
    return None


def split_for_header(name: str) -> tuple[bytes, bytes] | None:
    """Divide a path at a slash into the two fields of a ustar header, `None` if it does not fit."""
    path = name.encode("utf-8")
    if len(path) <= NAME_BYTES:
        return b"", path
    at = path.find(b"/", len(path) - NAME_BYTES - 1)
    fits = 0 < at <= PREFIX_BYTES and at < len(path) - 1
    return (path[:at], path[at + 1 :]) if fits else None


def conflict_between(names: Iterable[str]) -> tuple[str, str] | None:
    """Return two names that cannot lie in one folder on every system, `None` if there are none.

    They are the same apart from upper case or compatibility forms, or one is needed as a folder
    for the other.
    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFKC", name).casefold()
        parents = [key[:at] for at, char in enumerate(key) if char == "/"]
        if (other := seen.get(key) or folders.get(key)) is not None:
            return other, name
        for parent in parents:
            if parent in seen:
                return seen[parent], name
            folders[parent] = name
        seen[key] = name
    return None
