"""Every source of readings about the machine's state, besides energy and memory of processes."""

from __future__ import annotations

from edgeagent.meter.host.clocks import discover_clocks
from edgeagent.meter.host.heat import discover_heat
from edgeagent.meter.host.load import discover_load
from edgeagent.meter.host.pressure import discover_pressure
from edgeagent.meter.host.throttle import discover_throttle
from edgeagent.meter.memory.swap import discover_swap
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.tree import THIS_MACHINE, SystemTree


def discover_host(pid: int, tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find clocks, heat, throttling, load of others than process `pid`, pressure and swap.

    Together they cost about a thousandth of one core, see `docs/metrics.md`.
    """
    return Discovery.union(
        (
            discover_clocks(tree),
            discover_heat(tree),
            discover_throttle(tree),
            discover_load(pid, tree),
            discover_pressure(tree),
            discover_swap(tree),
        )
    )
