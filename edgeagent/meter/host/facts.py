"""The machine: the record that every run carries, and the facts that explain its figures."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass

import psutil

from edgeagent.config.cgroup import cpu_quota, memory_limit_bytes
from edgeagent.config.cores import installed_physical_cores, usable_cores, usable_physical_cores
from edgeagent.meter.host.modes import drives_itself, read_modes
from edgeagent.meter.host.virtual import cpu_flags, virtual_machine
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, matching
from edgeagent.record.run import HostRecord

_ARM_CORES = {
    0xD03: "Cortex-A53",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD49: "Neoverse-N2",
    0xD4B: "Cortex-A78C",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
}
"""Part numbers of implementer 0x41 (Arm) in MIDR_EL1, from Arm's technical reference manuals."""

_MATMUL_FEATURES = {
    "avx2": "avx2",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
}
"""Linux's names of the instructions that int8 and int4 matrix products gain from, and ours."""


@dataclass(frozen=True, slots=True)
class HostFact:
    """One line about the machine.

    Attributes:
        name: What it is about.
        value: As a person reads it, `None` if the system does not tell.
        note: What it means for measurements, empty if nothing.
    """

    name: str
    value: str | None
    note: str = ""


def host_record(tree: SystemTree = THIS_MACHINE) -> HostRecord:
    """Describe this machine; memory is a container's limit where that is lower."""
    installed = int(psutil.virtual_memory().total)
    limit = memory_limit_bytes(tree.sys, tree.proc)
    return HostRecord(
        os=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu=cpu_name(tree),
        cores_physical=installed_physical_cores(),
        cores_usable=usable_cores(tree.sys, tree.proc),
        memory_bytes=installed if limit is None else min(installed, limit),
        python=platform.python_version(),
    )


def cpu_name(tree: SystemTree = THIS_MACHINE) -> str:
    """Return the processor's name as the system gives it, the architecture if it gives none.

    Linux: `/proc/cpuinfo`, or the board's name and the core's part number on Arm; macOS:
    `sysctl machdep.cpu.brand_string`; Windows: the registry.
    """
    return _cpu_name_linux(tree) or _cpu_name_system() or platform.processor() or platform.machine()


def host_facts(tree: SystemTree = THIS_MACHINE) -> tuple[HostFact, ...]:
    """Tell what about this machine changes figures; nothing here raises."""
    return (
        _cores(tree),
        _instructions(tree),
        _memory(tree),
        _swap(tree),
        _governor(tree),
        _power_mode(tree),
        _virtual(tree),
        _power_supply(),
        _load(tree),
        _container(tree),
    )


def _cpu_name_linux(tree: SystemTree) -> str | None:
    fields: dict[str, str] = {}
    for line in (tree.text(tree.proc / "cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    if name := fields.get("model name") or fields.get("Hardware"):
        return re.sub(r"\s+", " ", name)
    board = (tree.text(tree.proc / "device-tree" / "model") or "").strip("\x00 ")
    core = ""
    with contextlib.suppress(KeyError, ValueError):
        if int(fields["CPU implementer"], 16) == 0x41:
            core = _ARM_CORES.get(int(fields["CPU part"], 16), f"Arm part {fields['CPU part']}")
    return " ".join(part for part in (board, f"({core})" if board and core else core) if part)


def _cpu_name_system() -> str | None:
    if sys.platform == "win32":
        import winreg

        key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with (
            contextlib.suppress(OSError),
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as handle,
        ):
            return str(winreg.QueryValueEx(handle, "ProcessorNameString")[0]).strip()
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, timeout=5, check=True, text=True)
            return done.stdout.strip()
    return None


def _cores(tree: SystemTree) -> HostFact:
    logical, physical = (
        usable_cores(tree.sys, tree.proc),
        usable_physical_cores(tree.sys, tree.proc),
    )
    installed = os.cpu_count() or logical
    note = f"{installed} are installed" if installed > logical else ""
    return HostFact("cores", f"{logical} usable, {physical} physical", note)


def _instructions(tree: SystemTree) -> HostFact:
    flags = cpu_flags(tree)
    if not flags:
        return HostFact("instructions", None)
    found = [ours for name, ours in _MATMUL_FEATURES.items() if name in flags]
    if found:
        return HostFact("instructions", ", ".join(found), "used by quantized matrix products")
    return HostFact("instructions", "none", "quantized matrix products will be slow")


def _memory(tree: SystemTree) -> HostFact:
    memory = psutil.virtual_memory()
    limit = memory_limit_bytes(tree.sys, tree.proc)
    total = memory.total if limit is None else min(memory.total, limit)
    note = "limited by the container" if total < memory.total else ""
    available = min(memory.available, total)
    return HostFact("memory", f"{_gb(available)} of {_gb(total)} available", note)


def _swap(tree: SystemTree) -> HostFact:
    try:
        swap = psutil.swap_memory()
    except (OSError, RuntimeError, psutil.Error):
        return HostFact("swap", None)
    if swap.total == 0:
        return HostFact("swap", "none")
    zram = any(matching(tree.sys / "block", "zram*"))
    note = "in use: figures of memory and time may be too low or too high" if swap.used else ""
    return HostFact(
        "swap", f"{_gb(swap.used)} of {_gb(swap.total)} used{', zram' if zram else ''}", note
    )


def _governor(tree: SystemTree) -> HostFact:
    modes = read_modes(tree)
    held_down = "powersave" in modes.governors and not drives_itself(modes.drivers)
    note = "clocks are held down" if held_down else ""
    return HostFact("governor", ", ".join(modes.governors) or None, note)


def _power_mode(tree: SystemTree) -> HostFact:
    modes = read_modes(tree)
    names = (modes.power_mode, modes.platform_profile, *modes.energy_preferences)
    return HostFact("power mode", ", ".join(name for name in names if name) or None)


def _virtual(tree: SystemTree) -> HostFact:
    virtual = virtual_machine(tree)
    if virtual is None:
        return HostFact("machine", None)
    if virtual:
        return HostFact("machine", "virtual", "neighbours share the cores; sensors are hidden")
    return HostFact("machine", "bare metal")


def _power_supply() -> HostFact:
    try:
        battery = psutil.sensors_battery()  # missing on some systems
    except (AttributeError, OSError, RuntimeError, psutil.Error):
        return HostFact("power supply", None)
    if battery is None:
        return HostFact("power supply", "no battery")
    if battery.power_plugged:
        return HostFact("power supply", f"mains, battery at {battery.percent:.0f} %")
    note = "many laptops slow down on battery"
    return HostFact("power supply", f"battery at {battery.percent:.0f} %", note)


def _load(tree: SystemTree) -> HostFact:
    try:
        load = psutil.getloadavg()[0]
    except (AttributeError, OSError):
        return HostFact("load", None)
    busy = load > 0.5 * usable_cores(tree.sys, tree.proc)
    note = "other programs are busy: close them before measuring" if busy else ""
    return HostFact("load", f"{load:.2f} over the last minute", note)


def _container(tree: SystemTree) -> HostFact:
    quota, memory = cpu_quota(tree.sys, tree.proc), memory_limit_bytes(tree.sys, tree.proc)
    limits = [f"{quota:g} CPUs"] if quota is not None else []
    limits += [_gb(memory)] if memory is not None else []
    return HostFact("container limits", ", ".join(limits) or "none")


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
