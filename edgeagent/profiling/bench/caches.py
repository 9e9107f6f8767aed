"""Size of the caches that a measurement of memory must exceed."""

from __future__ import annotations

import re

from edgeagent.meter.tree import THIS_MACHINE, SystemTree

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SIZE = re.compile(r"(\d+)([KMG]?)")


def last_level_cache_bytes(tree: SystemTree = THIS_MACHINE) -> int | None:
    """Return the bytes of all last-level caches of the machine, `None` if it does not tell.

    From `/sys/devices/system/cpu/cpu*/cache/index*/{level,size,shared_cpu_list}` (Linux
    `Documentation/ABI/testing/sysfs-devices-system-cpu`). A cache that several cores share counts
    once.
    """
    sizes: dict[int, dict[str, int]] = {}
    for index in sorted((tree.sys / "devices" / "system" / "cpu").glob("cpu[0-9]*/cache/index*")):
        level, size, shared = (
            tree.text(index / name) or "" for name in ("level", "size", "shared_cpu_list")
        )
        found = _SIZE.fullmatch(size)
        if level.isdigit() and found:
            sizes.setdefault(int(level), {})[shared or str(index)] = (
                int(found[1]) * _UNITS[found[2]]
            )
    return sum(sizes[max(sizes)].values()) if sizes else None
