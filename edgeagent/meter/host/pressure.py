"""How long work had to wait for processor, memory or storage (pressure stall information).

Linux, `Documentation/accounting/psi.rst`: counters of the time during which at least one task
waited, in microseconds; over the whole machine, our own work included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from edgeagent.meter.host.attributes import system_of
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import ONCE_A_SECOND, Snapshot, missing, probe
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, present
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

_RESOURCES = ("cpu", "memory", "io")
_SOME = re.compile(r"^some\b.*\btotal=(\d{1,19})\s*$", re.MULTILINE)


def discover_pressure(tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find the stall times that the kernel counts."""
    if system_of(tree) != "linux":
        return Discovery((), ())
    folder = tree.proc / "pressure"
    infos = {
        resource: SourceInfo(
            source=f"pressure:{resource}",
            quantity="stall_s",
            kind=SampleKind.COUNTER,
            scope=Scope.SYSTEM,
            resolution=1e-6,
        )
        for resource in _RESOURCES
    }
    if not present(folder):
        reason = "The kernel counts no stall times."
        return missing(infos.values(), SourceState.ABSENT, reason)
    return Discovery.union(
        probe(
            [(info, (resource,))],
            Snapshot(partial(_stalls, tree, folder / resource)),
            ONCE_A_SECOND,
            str(folder / resource),
        )
        for resource, info in infos.items()
    )


def _stalls(tree: SystemTree, path: Path) -> Mapping[str, float]:
    found = _SOME.search(tree.read(path))
    if found is None:
        raise ValueError("it has no line of stalls")
    return {path.name: int(found[1]) / 1e6}
