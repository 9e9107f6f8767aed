"""Where the power comes from: mains or battery, and how full the battery is.

Linux: `Documentation/ABI/testing/sysfs-class-power`; elsewhere psutil.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from edgeagent.meter.host.attributes import number_or_none, system_of
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, matching


@dataclass(frozen=True, slots=True)
class Supply:
    """Power supply.

    Attributes:
        ac_power: Whether mains power is connected, `None` if nothing tells.
        battery_percent: Charge of the emptiest battery, `None` without a battery.
    """

    ac_power: bool | None
    battery_percent: float | None


def read_supply(tree: SystemTree = THIS_MACHINE) -> Supply:
    """Return where the power comes from; nothing here raises."""
    return _linux(tree) if system_of(tree) == "linux" else _portable()


def _linux(tree: SystemTree) -> Supply:
    chargers: list[bool] = []
    statuses: list[str] = []
    charges: list[int] = []
    for supply in matching(tree.sys / "class" / "power_supply", "*"):
        if tree.text(supply / "scope") == "Device":  # the battery of a mouse
            continue
        if tree.text(supply / "type") == "Battery":
            statuses.append(tree.text(supply / "status") or "")
            charge = number_or_none(tree, supply / "capacity")
            charges += [charge] if charge is not None and 0 <= charge <= 100 else []
        elif (online := number_or_none(tree, supply / "online")) is not None:
            chargers.append(online > 0)
    known = [status for status in statuses if status in _KNOWN_STATUSES]
    if "Discharging" in known:
        # Also with a charger that is too weak: then the figures are those of a battery.
        ac_power: bool | None = False
    elif chargers:
        ac_power = any(chargers)
    else:
        ac_power = True if known else None
    return Supply(ac_power, float(min(charges)) if charges else None)


_KNOWN_STATUSES = frozenset({"Charging", "Discharging", "Not charging", "Full"})


def _portable() -> Supply:
    try:
        battery = psutil.sensors_battery()  # missing on some systems
    except (AttributeError, OSError, RuntimeError, psutil.Error):
        return Supply(None, None)
    if battery is None:
        return Supply(None, None)
    # Typed as a truth value, but None where the system does not know.
    plugged: bool | None = battery.power_plugged
    return Supply(plugged, float(battery.percent))
