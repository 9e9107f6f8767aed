"""Find every source of memory, energy and power readings on this machine, and say why not.

A new kind of sensor is a new module with a `discover_*` function and one line in `discover`.
"""

from __future__ import annotations

import shutil
import sys

import psutil

from edgeagent.meter.energy.rapl import discover_rapl
from edgeagent.meter.host.sources import discover_host
from edgeagent.meter.memory.process import discover_process
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

_NOT_READ = "The hardware is there, but this version of edgeagent does not read it."


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
            discover_rapl(tree) if _is_linux(tree) else _no_energy_reader(),
            _nvidia(tree),
            _jetson(tree),
            _battery(tree),
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


def _nvidia(tree: SystemTree) -> Discovery:
    """Detect a discrete NVIDIA GPU by its driver."""
    if _is_linux(tree):
        present = (tree.proc / "driver" / "nvidia" / "version").exists()
    else:
        present = shutil.which("nvidia-smi") is not None
    if not present:
        return Discovery((), ())
    return _unread("nvml:gpu", "energy_j", SampleKind.COUNTER, Scope.MODULE, _NOT_READ)


def _jetson(tree: SystemTree) -> Discovery:
    """Detect the power monitor of a Jetson module: INA3221 devices bound to its driver."""
    drivers = tree.sys / "bus" / "i2c" / "drivers"
    # A bound device is a link named bus-address, such as 1-0040.
    if not any(any((drivers / name).glob("*-00*")) for name in ("ina3221", "ina3221x")):
        return Discovery((), ())
    return _unread("ina3221:total", "power_w", SampleKind.SAMPLED, Scope.MODULE, _NOT_READ)


def _battery(tree: SystemTree) -> Discovery:
    """Detect a battery that feeds the system, not one of a mouse (`scope` is `Device` there)."""
    if _is_linux(tree):
        supplies = tree.sys / "class" / "power_supply"
        present = any(
            tree.text(path) == "Battery" and tree.text(path.parent / "scope") != "Device"
            for path in supplies.glob("*/type")
        )
    else:
        present = _psutil_battery()
    if not present:
        return Discovery((), ())
    return _unread("battery:discharge", "power_w", SampleKind.SAMPLED, Scope.SYSTEM, _NOT_READ)


def _psutil_battery() -> bool:
    try:
        return hasattr(psutil, "sensors_battery") and psutil.sensors_battery() is not None
    except (OSError, RuntimeError, psutil.Error):
        return False


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
