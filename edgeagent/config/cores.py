"""How many cores this process may use: affinity, container quota, physical cores.

Defaults of the engine and records of the host both need these facts, so they live below both.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from edgeagent.config.cgroup import PROC, SYS, cpu_quota


def usable_cores(root: Path = SYS, proc: Path = PROC) -> int:
    """Return the logical cores that this process may use, at least 1.

    The affinity mask, reduced by a container's CPU quota. A fractional quota is rounded down:
    a thread too many would be throttled in the middle of every operator.
    """
    return _limited(len(_affinity()) or os.cpu_count() or 1, root, proc)


def usable_physical_cores(root: Path = SYS, proc: Path = PROC) -> int:
    """Return the physical cores that this process may use, at least 1.

    The right number of threads for matrix products: two hardware threads of one core share its
    vector units. Cores with only some of their hardware threads in the affinity mask count once.
    Where the system does not tell which hardware threads belong together, it is the installed
    number of physical cores, or else the number of logical ones, within `usable_cores`.
    """
    logical = usable_cores(root, proc)
    siblings = {_siblings(root, cpu) for cpu in _affinity()}
    if siblings and None not in siblings:
        return _limited(len(siblings), root, proc)
    return max(1, min(logical, installed_physical_cores() or logical))


def installed_physical_cores() -> int | None:
    """Return the physical cores of the machine, `None` if the system does not tell."""
    return psutil.cpu_count(logical=False) or None


def _limited(cores: int, root: Path, proc: Path) -> int:
    quota = cpu_quota(root, proc)
    return max(1, cores if quota is None else min(cores, int(quota)))


def _affinity() -> frozenset[int]:
    """Return the CPUs of the affinity mask, empty where there is no such mask (macOS)."""
    try:
        return frozenset(psutil.Process().cpu_affinity() or ())
    except (AttributeError, OSError, psutil.Error):
        return frozenset()


def _siblings(root: Path, cpu: int) -> str | None:
    """Return the list of hardware threads that share a core with `cpu`, as the kernel writes it."""
    path = root / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
