"""Finding the files that patterns allow, and the links on the way to them."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MAX_LINK_DEPTH = 40
"""As many links in a row as Linux follows."""


class Walk:
    """Expands patterns below a root, never leaving it.

    Attributes:
        links: Links that were followed: path below the root to relative target, both resolved.
    """

    def __init__(self, root: Path) -> None:
        """Walk below `root`."""
        self._root = Path(os.path.realpath(root))
        self.links: dict[str, str] = {}

    def files(self, folder: str, name: str) -> Iterator[Path]:
        """Yield the resolved paths of the files that the patterns of folder and name match."""
        for found in self._folders(self._root, PurePosixPath(folder).parts):
            for path in self._matches(found, name):
                if not path.is_dir():
                    yield path

    def below_root(self, path: Path) -> str:
        """Return a resolved path as it is named below the root, with slashes."""
        return path.relative_to(self._root).as_posix()

    def _folders(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        if not parts:
            yield folder
            return
        for path in self._matches(folder, parts[0]):
            if path.is_dir():
                yield from self._folders(path, parts[1:])

    def _matches(self, folder: Path, pattern: str) -> Iterator[Path]:
        """Yield the entries of a resolved folder that a pattern matches, links followed."""
        if any(sign in pattern for sign in "*?["):
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
            except OSError:
                return
            names = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        else:
            names = [pattern] if os.path.lexists(folder / pattern) else []
        for name in names:
            path = self._follow(folder / name, 0)
            if path is not None:
                yield path

    def _follow(self, path: Path, depth: int) -> Path | None:
        """Return where a path in a resolved folder leads to, `None` if outside or nowhere."""
        if depth > _MAX_LINK_DEPTH:
            return None
        if not path.is_symlink():
            return path if os.path.lexists(path) else None
        try:
            target = path.readlink()
        except OSError:
            return None
        if target.is_absolute():  # of the system whose root this is
            target_path = self._root / target.relative_to(target.anchor)
        else:
            target_path = Path(os.path.normpath(path.parent / target))
        if not target_path.is_relative_to(self._root):
            return None
        resolved = self._root
        for part in target_path.relative_to(self._root).parts:
            step = self._follow(resolved / part, depth + 1)
            if step is None:
                return None
            resolved = step
        self.links[self.below_root(path)] = Path(os.path.relpath(resolved, path.parent)).as_posix()
        return resolved
