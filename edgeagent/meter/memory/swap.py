"""Swap: pages that were moved in and out, and the memory that compressed swap takes.

Linux: `pswpin` and `pswpout` of `/proc/vmstat` (pages since boot) and the third column of
`/sys/block/zram*/mm_stat`, `mem_used_total` (`Documentation/admin-guide/blockdev/zram.rst`).
zram is swap that lies in memory: what it takes is missing there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgeagent.meter.host.attributes import system_of
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import ONCE_A_SECOND, Snapshot, missing, probe
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, matching
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

_PAGES = {"system:swapped_in": "pswpin", "system:swapped_out": "pswpout"}
_ZRAM = "system:zram"


def discover_swap(tree: SystemTree = THIS_MACHINE, page_bytes: int | None = None) -> Discovery:
    """Find the counters of swapped memory and the memory that zram takes.

    Args:
        tree: The system's files.
        page_bytes: Size of a page; that of this machine by default.
    """
    if system_of(tree) != "linux":
        return Discovery((), ())
    size = page_bytes or _page_bytes()
    pages = [
        (_info(source, "swapped_bytes", SampleKind.COUNTER, size), (key,))
        for source, key in _PAGES.items()
    ]
    zram = _info(_ZRAM, "zram_bytes", SampleKind.SAMPLED, size)

    def swapped() -> Mapping[str, float]:
        text = tree.read(tree.proc / "vmstat")
        found = re.findall(r"^(pswpin|pswpout) (\d{1,19})$", text, re.MULTILINE)
        return {key: float(int(count) * size) for key, count in found}

    parts = [probe(pages, Snapshot(swapped), ONCE_A_SECOND, str(tree.proc / "vmstat"))]
    if any(matching(tree.sys / "block", "zram*")):
        look = Snapshot(lambda: {_ZRAM: float(_zram_bytes(tree))})
        parts.append(probe([(zram, (_ZRAM,))], look, ONCE_A_SECOND, "/sys/block/zram*/mm_stat"))
    else:
        parts.append(missing([zram], SourceState.ABSENT, "There is no compressed swap (zram)."))
    return Discovery.union(parts)


def zram_bytes(tree: SystemTree = THIS_MACHINE) -> int | None:
    """Return the memory that compressed swap takes, 0 without any, `None` if it cannot be read."""
    try:
        return _zram_bytes(tree)
    except (OSError, ValueError):
        return None


def _zram_bytes(tree: SystemTree) -> int:
    total = 0
    for device in matching(tree.sys / "block", "zram*"):
        columns = tree.read(device / "mm_stat").split()
        if len(columns) < 3 or not columns[2].isdigit():
            raise ValueError(f"{device.name}/mm_stat has no column of used memory")
        total += int(columns[2])
    return total


def _page_bytes() -> int:
    import resource  # not on Windows, where this is not called

    return resource.getpagesize()


def _info(source: str, quantity: str, kind: SampleKind, resolution: float) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity=quantity,
        kind=kind,
        scope=Scope.SYSTEM,
        resolution=float(resolution),
    )
