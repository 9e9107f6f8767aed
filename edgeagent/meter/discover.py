"""Find every source of memory, energy and power readings on this machine, and say why not.

A new kind of sensor is a new module with a `discover_*` function and one line in `discover`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgeagent.meter.energy.apple_battery import discover_apple
from edgeagent.meter.energy.battery import discover_battery
from edgeagent.meter.energy.cpu import discover_cpu
from edgeagent.meter.energy.emi import discover_emi
from edgeagent.meter.energy.hwmon import discover_hwmon
from edgeagent.meter.energy.jetson import discover_jetson
from edgeagent.meter.energy.nvml import discover_nvml
from edgeagent.meter.energy.rpi_pmic import discover_rpi_pmic
from edgeagent.meter.energy.windows_battery import discover_windows_battery
from edgeagent.meter.host.attributes import system_of
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
    of_this_system = _BY_SYSTEM.get(system_of(tree), _no_energy_reader)
    return Discovery.union(
        (
            discover_process(pid, tree),
            discover_host(pid, tree),
            of_this_system(tree),
            discover_nvml(pid, tree),
        )
    )


def not_here(found: Discovery, tree: SystemTree = THIS_MACHINE) -> tuple[SourceInfo, ...]:
    """Return the kinds of sources that edgeagent reads on such a system and that are not there.

    Runs do not record them: what a machine does not have explains nothing. The doctor shows them,
    so that nobody wonders whether they were looked for.

    Args:
        found: What `discover` returned.
        tree: The system's files.
    """
    names = [info.source for info in found.sources]
    return tuple(
        SourceInfo(
            source=shown,
            quantity=quantity,
            kind=SampleKind.COUNTER if quantity == "energy_j" else SampleKind.SAMPLED,
            scope=scope,
            state=SourceState.ABSENT,
            reason=reason,
        )
        for prefix, shown, quantity, scope, reason in _KINDS.get(system_of(tree), ())
        if not any(name.startswith(prefix) for name in names)
    )


_Kind = tuple[str, str, str, Scope, str]

_KINDS: Mapping[str, tuple[_Kind, ...]] = {
    "linux": (
        (
            "ina",
            "ina3221",
            "power_w",
            Scope.MODULE,
            "No power monitor of a Jetson is bound.",
        ),
        ("battery", "battery:discharge", "power_w", Scope.SYSTEM, "No battery feeds this machine."),
        ("hwmon", "hwmon", "power_w", Scope.RAIL, "No chip known to measure power is here."),
        ("nvml", "nvml:gpu", "energy_j", Scope.MODULE, "No NVIDIA driver is loaded."),
        ("pmic", "pmic:supplies", "power_w", Scope.RAIL, "This is no Raspberry Pi 5."),
        ("npu", "npu:busy", "busy_s", Scope.RAIL, "No NPU driver is loaded."),
    ),
    "win32": (("nvml", "nvml:gpu", "energy_j", Scope.MODULE, "No NVIDIA driver is installed."),),
}
"""Start of the sources' names, how to show it, quantity, scope, and why there is none."""


def _linux(tree: SystemTree) -> Discovery:
    return Discovery.union(
        (
            discover_cpu(tree),
            discover_jetson(tree),
            discover_battery(tree),
            discover_hwmon(tree),
            discover_rpi_pmic(tree),
            discover_npu(tree),
        )
    )


def _windows(_tree: SystemTree) -> Discovery:
    return Discovery.union((discover_emi(), discover_windows_battery()))


def _macos(_tree: SystemTree) -> Discovery:
    return discover_apple()


_BY_SYSTEM: Mapping[str, Callable[[SystemTree], Discovery]] = {
    "linux": _linux,
    "win32": _windows,
    "darwin": _macos,
}


def _no_energy_reader(tree: SystemTree) -> Discovery:
    info = SourceInfo(
        source="cpu:package",
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=Scope.PACKAGE,
        state=SourceState.UNSUPPORTED,
        reason=f"edgeagent has no reader of processor energy for {system_of(tree)}.",
        remedy="Use an external power meter.",
    )
    return Discovery.union((Discovery((), (info,)), discover_battery(tree)))
