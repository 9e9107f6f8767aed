"""Reading the small files that sysfs is made of, and telling which system a tree is of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from edgeagent.meter.tree import SystemTree, present


def system_of(tree: SystemTree) -> str:
    """Return `linux` for a tree with Linux's files, else the system of this process."""
    return "linux" if present(tree.proc / "cpuinfo") else sys.platform


def number(tree: SystemTree, path: Path) -> int:
    """Return the decimal integer in a file; raises `OSError` or `ValueError`."""
    text = tree.read(path).strip()
    if not text.removeprefix("-").isdigit() or not text.isascii() or len(text) > 20:
        raise ValueError(f"{path.name} is {text[:20]!r}, which is not a number")
    return int(text)


def number_or_none(tree: SystemTree, path: Path) -> int | None:
    """Return the decimal integer in a file, `None` if there is none."""
    try:
        return number(tree, path)
    except (OSError, ValueError):
        return None


def words(tree: SystemTree, paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the different texts of files, sorted; unreadable and empty ones are left out."""
    return tuple(sorted({text for path in paths if (text := tree.text(path))}))


def readable(read: Callable[[Path], float], paths: Iterable[Path]) -> list[float]:
    """Return what `read` gives for each path, without those that fail this time.

    Raises:
        OSError: All of them failed; the first failure.
        ValueError: All of them failed; the first failure.
    """
    values: list[float] = []
    first: OSError | ValueError | None = None
    for path in paths:
        try:
            values.append(read(path))
        except (OSError, ValueError) as error:
            first = first or error
    if not values and first is not None:
        raise first
    return values
