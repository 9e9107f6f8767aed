"""How the machine is set to trade speed for power: governor, profiles and power modes.

Linux: `Documentation/admin-guide/pm/{cpufreq,intel_pstate,amd-pstate}.rst` and
`Documentation/ABI/testing/sysfs-platform_profile`; Jetson: `nvpmodel` (Jetson Linux Developer
Guide, Platform Power and Performance); Windows: `powercfg /getactivescheme`; macOS: `pmset -g`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgeagent.meter.host.attributes import system_of, words
from edgeagent.meter.host.clocks import policies
from edgeagent.meter.tree import THIS_MACHINE, SystemTree

Ask: TypeAlias = Callable[[Sequence[str]], str]
"""Runs a command of the system and returns what it prints, empty if it cannot be run."""

_SELF_DRIVING = frozenset({"intel_pstate", "amd-pstate-epp"})
"""Drivers under which `powersave` is the normal, load-driven mode."""

_TIMEOUT_S = 5.0
_NVPMODEL_NAME = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)")


@dataclass(frozen=True, slots=True)
class Modes:
    """The settings; empty or `None` where the system has none.

    Attributes:
        governors: How clocks are chosen.
        drivers: Whose governors these are.
        energy_preferences: Hint to the drivers between performance and power.
        platform_profile: The firmware's profile.
        power_mode: nvpmodel mode, Windows power scheme, or macOS low power mode.
    """

    governors: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    energy_preferences: tuple[str, ...] = ()
    platform_profile: str | None = None
    power_mode: str | None = None


def ask_system(command: Sequence[str]) -> str:
    """Run a short command of the system without a shell; return its output, empty on failure."""
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def read_modes(tree: SystemTree = THIS_MACHINE, ask: Ask = ask_system) -> Modes:
    """Return how the machine is set; nothing here raises."""
    match system_of(tree):
        case "linux":
            return _linux(tree)
        case "win32":
            return Modes(power_mode=_windows_scheme(ask))
        case "darwin":
            return Modes(power_mode=_macos_mode(ask))
        case _:
            return Modes()


def drives_itself(drivers: Sequence[str]) -> bool:
    """Tell whether `powersave` is the normal, load-driven mode of these drivers."""
    return bool(drivers) and set(drivers) <= _SELF_DRIVING


def nvpmodel_mode(tree: SystemTree = THIS_MACHINE) -> str | None:
    """Return the name of a Jetson's power mode, its number if it has no name.

    `/var/lib/nvpmodel/status` holds `pmode:0002` and sometimes more words; the names are in
    `/etc/nvpmodel.conf` as `< POWER_MODEL ID=2 NAME=MODE_15W >`.
    """
    status = tree.text(tree.root / "var" / "lib" / "nvpmodel" / "status") or ""
    found = re.search(r"\bpmode:(\d{1,6})\b", status)
    if found is None:
        return None
    number = int(found[1])
    conf = tree.text(tree.root / "etc" / "nvpmodel.conf") or ""
    names = {int(entry[1]): entry[2] for entry in _NVPMODEL_NAME.finditer(conf)}
    return names.get(number, f"mode {number}")


def _linux(tree: SystemTree) -> Modes:
    found = policies(tree)

    def texts(name: str) -> tuple[str, ...]:
        return words(tree, (policy / name for policy in found))

    profile: Path = tree.sys / "firmware" / "acpi" / "platform_profile"
    return Modes(
        governors=texts("scaling_governor"),
        drivers=texts("scaling_driver"),
        energy_preferences=texts("energy_performance_preference"),
        platform_profile=tree.text(profile) or None,
        power_mode=nvpmodel_mode(tree),
    )


def _windows_scheme(ask: Ask) -> str | None:
    """Parse `Power Scheme GUID: 381b4222-...  (Balanced)`; the words are translated."""
    found = re.search(
        r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\s+\(([^)\r\n]+)\)",
        (ask(("powercfg", "/getactivescheme"))),
    )
    return found[1].strip() if found else None


def _macos_mode(ask: Ask) -> str | None:
    """Parse the line ` lowpowermode 1`; newer systems say ` powermode 2` for high power."""
    text = ask(("/usr/bin/pmset", "-g"))
    found = re.search(r"^\s*(?:lowpowermode|powermode)\s+(\d)\b", text, re.MULTILINE)
    if found is None:
        return None
    return {"0": "automatic", "1": "low power", "2": "high power"}.get(found[1])
