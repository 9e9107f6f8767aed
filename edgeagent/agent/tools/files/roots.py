"""The folders that file tools may look into, and the names of what lies there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgeagent.agent.tools.files.inside import name_parts, open_inside
from edgeagent.agent.tools.files.walk import walk
from edgeagent.agent.tools.plain import is_plain_name, one_line
from edgeagent.errors import ConfigError, ToolError

MAX_LISTED = 20_000
_FRESH_S = 2.0
"""A turn asks for the names several times; nobody misses a file that is two seconds old."""

_MAX_NAME_CHARS = 64
_NO_FILES = tuple(map(Path, ("/proc", "/sys", "/dev")))
"""What looks like files there is the system: reading it can block, change things, tell secrets."""


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that tools may look into.

    Attributes:
        name: What agents call it.
        path: Where it lies.
    """

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Found:
    """A file that was asked for.

    Attributes:
        name: As it is listed.
        folder: The root's folder.
        inner: Relative to it, with forward slashes.
    """

    name: str
    folder: Path
    inner: str

    def open(self) -> BinaryIO:
        """Open it for reading.

        Raises:
            ToolError: It is not there, is no regular file or lies elsewhere.
        """
        return open_inside(self.folder, self.inner)


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in the roots.

    Attributes:
        names: Of the files that can be named, sorted.
        left_out: How many cannot: links that lead out, names that cannot be written.
        is_complete: Whether there are no more than can be listed.
    """

    names: tuple[str, ...]
    left_out: int
    is_complete: bool


class Roots:
    """Folders by name; thread-safe.

    With one folder, files are named relative to it; with several, the folder's name comes first.
    """

    def __init__(self, roots: Sequence[Root]) -> None:
        """Check the folders.

        Raises:
            ConfigError: There is none, one is not a folder, or agents could not name one of
                several.
        """
        if not roots:
            raise ConfigError("Name at least one folder that files may be read from.")
        known: set[str] = set()
        for root in roots:
            _check_folder(root.path)
            if len(roots) > 1 and (not _is_name(root.name) or root.name.casefold() in known):
                raise ConfigError(
                    f"{root.path} cannot be told from other folders by its name "
                    f"{one_line(root.name)!r}: rename it so that it has a plain name of its own."
                )
            known.add(root.name.casefold())
        self._roots = tuple(roots)
        self._lock = threading.Lock()
        self._listing: Listing | None = None
        self._listed_s = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the folders."""
        return tuple(root.name for root in self._roots)

    def find(self, name: str) -> Found:
        """Return what a name stands for; whether it is there shows when it is opened.

        Raises:
            ToolError: It cannot be the name of a file here.
        """
        parts = name_parts(name)
        shown = "/".join(parts)
        if len(self._roots) == 1:
            return Found(shown, self._roots[0].path, shown)
        for root in self._roots:
            if parts and parts[0] == root.name:
                return Found(shown, root.path, "/".join(parts[1:]))
        raise ToolError(f"begin with the name of a folder: {', '.join(self.names)}")

    def listing(self) -> Listing:
        """Return the names of all files."""
        with self._lock:
            now_s = time.monotonic()
            if self._listing is None or now_s - self._listed_s > _FRESH_S:
                self._listing, self._listed_s = self._list(), now_s
            return self._listing

    def _list(self) -> Listing:
        names: list[str] = []
        left_out: list[str] = []
        for root in self._roots:
            prefix = "" if len(self._roots) == 1 else f"{root.name}/"
            try:
                for inner in walk(root.path, lambda name, _: left_out.append(name)):
                    names.append(f"{prefix}{inner}")
                    if len(names) == MAX_LISTED:
                        break
            except OSError:
                left_out.append(root.name)
        plain = sorted(filter(is_plain_name, names))
        return Listing(
            tuple(plain), len(left_out) + len(names) - len(plain), len(names) < MAX_LISTED
        )


def _is_name(name: str) -> bool:
    """Whether a name can stand before the names of files."""
    try:
        return len(name) <= _MAX_NAME_CHARS and is_plain_name(name) and name_parts(name) == (name,)
    except ToolError:
        return False


def _check_folder(path: Path) -> None:
    try:
        folder = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{path} is not a folder that files can be read from.") from error
    if not folder.is_dir():
        raise ConfigError(f"{path} is not a folder that files can be read from.")
    if os.name == "posix" and any(folder.is_relative_to(place) for place in _NO_FILES):
        raise ConfigError(f"{path} belongs to the system and holds no files; choose another one.")
