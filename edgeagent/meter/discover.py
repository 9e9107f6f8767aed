"""Find every source of memory, energy and power readings on this machine, and say why not.

A new kind of sensor is a new module with a `discover_*` function and one line in `discover`.
"""

from __future__ import annotations

import sys

from edgeagent.meter.energy.battery import discover_battery
from edgeagent.meter.energy.cpu import discover_cpu
from edgeagent.meter.energy.hwmon import discover_hwmon
from edgeagent.meter.energy.jetson import discover_jetson
from edgeagent.meter.energy.nvml import discover_nvml
from edgeagent.meter.energy.rpi_pmic import discover_rpi_pmic
from edgeagent.meter.host.sources import discover_host
from edgeagent.meter.memory.process import discover_process
from edgeagent.meter.npu import discover_npu
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState


def discover(pid: int, tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Probe every source.

    Args:
        pid: The process whose memory is of interest.
        tree: The system's files.
    """
    return Discovery.union(
        (
            discover_process(pid, tree),
            discover_host(pid, tree),
            discover_cpu(tree) if _is_linux(tree) else _no_energy_reader(),
            discover_nvml(pid, tree),
            discover_jetson(tree),
            discover_battery(tree),
            discover_hwmon(tree),
            discover_rpi_pmic(tree),
            discover_npu(tree),
        )
    )


def _is_linux(tree: SystemTree) -> bool:
    return (tree.proc / "cpuinfo").exists() or sys.platform == "linux"


def _no_energy_reader() -> Discovery:
    system = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
    return _unread(
        "rapl:package",
        "energy_j",
        SampleKind.COUNTER,
        Scope.PACKAGE,
        f"This version of edgeagent has no reader of processor energy for {system}.",
    )


def _unread(source: str, quantity: str, kind: SampleKind, scope: Scope, reason: str) -> Discovery:
    info = SourceInfo(
        source=source,
        quantity=quantity,
        kind=kind,
        scope=scope,
        state=SourceState.UNSUPPORTED,
        reason=reason,
    )
    return Discovery((), (info,))
