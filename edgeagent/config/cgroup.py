"""Limits that a container or a service manager puts on this process (Linux control groups).

Both hierarchies are read: version 2 (`cpu.max`, `memory.max`) and version 1 (`cpu.cfs_quota_us`,
`memory.limit_in_bytes`). A limit of any ancestor holds for the whole subtree, so every folder from
the process's own group up to the mount point is looked at and the tightest limit counts. Inside a
container the own path is often not visible below the mount point; then only visible folders count.

Source: Linux `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/memory.rst`,
`scheduler/sched-bwc.rst`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

SYS = Path("/sys")
PROC = Path("/proc")

_NO_MEMORY_LIMIT = 1 << 62
"""Version 1 writes "no limit" as the largest page-aligned integer, just below 2**63."""


def cpu_quota(root: Path = SYS, proc: Path = PROC) -> float | None:
    """Return how many CPUs' worth of time the process may use, `None` if it is not limited."""
    limits = [_cpu_max(folder / "cpu.max") for folder in _folders(root, proc, "")]
    limits += [
        _ratio(_word(folder / "cpu.cfs_quota_us"), _word(folder / "cpu.cfs_period_us"))
        for folder in _folders(root, proc, "cpu")
    ]
    return min((limit for limit in limits if limit is not None), default=None)


def memory_limit_bytes(root: Path = SYS, proc: Path = PROC) -> int | None:
    """Return the bytes of memory that the process's group may use, `None` if not limited."""
    words = [_word(folder / "memory.max") for folder in _folders(root, proc, "")]
    words += [_word(folder / "memory.limit_in_bytes") for folder in _folders(root, proc, "memory")]
    limits = [int(word) for word in words if word.isascii() and word.isdigit()]
    return min((limit for limit in limits if 0 < limit < _NO_MEMORY_LIMIT), default=None)


def memory_headroom_bytes(root: Path = SYS, proc: Path = PROC) -> int | None:
    """Return how much more memory the process's group may use, `None` if it is not limited.

    Pages of files that were not used lately are dropped before the limit is felt, so they do not
    count as used.
    """
    rooms = [
        _headroom(folder, "memory.max", "memory.current", "inactive_file")
        for folder in _folders(root, proc, "")
    ]
    rooms += [
        _headroom(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        for folder in _folders(root, proc, "memory")
    ]
    return min((room for room in rooms if room is not None), default=None)


def _headroom(folder: Path, limit_name: str, used_name: str, droppable_name: str) -> int | None:
    limit, used = _word(folder / limit_name), _word(folder / used_name)
    if not (limit.isascii() and limit.isdigit() and used.isascii() and used.isdigit()):
        return None
    if not 0 < int(limit) < _NO_MEMORY_LIMIT:
        return None
    statistics = dict(
        line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line
    )
    droppable = statistics.get(droppable_name, "")
    dropped = int(droppable) if droppable.isascii() and droppable.isdigit() else 0
    return max(0, int(limit) - max(0, int(used) - dropped))


def _folders(root: Path, proc: Path, controller: str) -> Iterator[Path]:
    """Yield the process's group of one controller (empty: version 2) and all its ancestors."""
    own = _own_group(proc, controller)
    if own is None:
        return
    mount = root / "fs" / "cgroup" / controller
    parts = [part for part in own.parts if part != "/"]
    if ".." in parts:  # a group outside this namespace cannot be reached below the mount point
        parts = []
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def _own_group(proc: Path, controller: str) -> PurePosixPath | None:
    """Return the path in `/proc/self/cgroup`, lines of which are `id:controllers:path`."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        fields = line.split(":", 2)
        if len(fields) == 3 and controller in fields[1].split(","):
            return PurePosixPath(fields[2])
    return None


def _cpu_max(path: Path) -> float | None:
    """Read `cpu.max`: quota and period in microseconds, the quota may be `max`."""
    quota, _, period = _text(path).partition(" ")
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isascii() and quota.isdigit() and period.isascii() and period.isdigit()):
        return None  # "max" in version 2, -1 in version 1: no limit
    return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else None


def _word(path: Path) -> str:
    return _text(path).partition(" ")[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
