"""Power that the batteries of a laptop or tablet deliver.

Linux `Documentation/ABI/testing/sysfs-class-power`: `/sys/class/power_supply/*/uevent` holds all
values of one moment, `POWER_SUPPLY_NAME=value` a line. A battery tells `POWER_NOW` in uW, or
`CURRENT_NOW` in uA with `VOLTAGE_NOW` in uV; drivers disagree on the sign, so it is dropped.

What a battery delivers is what the whole device draws only while every battery of the system is
discharging: a charger that feeds the device, or charges the other battery, is not in the figure.
Values are new about once a second at best (ACPI batteries: `cache_time` in `drivers/acpi/battery.c`
is 1000 ms), so they serve whole runs rather than spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeagent.meter.energy.reading import failed, offer
from edgeagent.meter.host.attributes import system_of
from edgeagent.meter.host.supply import read_supply
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, in_order, present
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

INTERVAL_S = 1.0

_INFO = SourceInfo(
    source="battery:discharge",
    quantity="power_w",
    kind=SampleKind.SAMPLED,
    scope=Scope.SYSTEM,
    total="system",
    interval_s=INTERVAL_S,
    max_power_w=500.0,
)
_UNPLUG = (
    "Unplug the charger, for the whole run: batteries measure the device only while nothing else "
    "feeds it, and each of them discharges."
)
_PREFIX = "POWER_SUPPLY_"
_FILES = ("status", "present", "power_now", "current_now", "voltage_now")


def discover_battery(tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find the system's batteries and probe what they deliver together.

    macOS tells more than its portable interface, see `edgeagent.meter.energy.apple_battery`.
    """
    system = system_of(tree)
    if system != "linux":
        return Discovery((), ()) if system == "darwin" else _discover_portable(tree)
    if not any(_seems_of_system(tree, supply) for supply in _supplies(tree)):
        return Discovery((), ())
    discharge = Discharge(tree)
    return offer(
        _INFO.model_copy(update={"resolution": discharge.resolution_w()}),
        discharge.power_w,
        min_interval_s=INTERVAL_S,
        remedies={SourceState.NOT_DISCHARGING: _UNPLUG},
    )


class Discharge:
    """Reads all batteries of the system that are there at the moment."""

    def __init__(self, tree: SystemTree) -> None:
        """Read the batteries of a system."""
        self._tree = tree
        self._is_battery: dict[str, bool] = {}

    def power_w(self) -> float:
        """Return what the batteries deliver together, in watts.

        Raises:
            MeterError: A battery is not discharging, none is there, or they claim to deliver
                nothing.
            OSError: A battery cannot be read, such as one that was just taken out.
            ValueError: A battery does not tell its power.
        """
        values = self._read()
        if not values:
            raise MeterError("No battery is in its place.", SourceState.ABSENT)
        for name, battery in values.items():
            status = battery.get("status", "nothing")
            if status != "Discharging":
                raise MeterError(
                    f"The battery {name} says {status!r} instead of 'Discharging'.",
                    SourceState.NOT_DISCHARGING,
                )
        power_w = sum(_power_w(name, battery)[0] for name, battery in values.items())
        if power_w <= 0:
            raise MeterError("The batteries claim to deliver nothing to a machine that runs.")
        return power_w

    def resolution_w(self) -> float | None:
        """Return the coarsest step of the batteries' powers, `None` if they tell no power."""
        try:
            return max(_power_w(name, battery)[1] for name, battery in self._read().items())
        except (OSError, ValueError):
            return None

    def _read(self) -> dict[str, dict[str, str]]:
        """Return the values of each battery that is in its place, by name."""
        found = {}
        for supply in _supplies(self._tree):
            if supply.name not in self._is_battery:  # it does not change, so it is read once
                self._is_battery[supply.name] = _is_of_system(self._tree, supply)
            if self._is_battery[supply.name]:
                values = _values(self._tree, supply)
                if values.get("present") != "0":  # an empty bay
                    found[supply.name] = values
        return found


def _supplies(tree: SystemTree) -> list[Path]:
    try:
        return in_order((tree.sys / "class" / "power_supply").iterdir())
    except OSError:
        return []


def _seems_of_system(tree: SystemTree, supply: Path) -> bool:
    try:
        return _is_of_system(tree, supply)
    except OSError:
        return tree.text(supply / "type") == "Battery" or supply.name.startswith("BAT")


def _is_of_system(tree: SystemTree, supply: Path) -> bool:
    """Whether it is a battery, and not the one of a mouse, a headset or a pen.

    Raises:
        OSError: It does not tell. Leaving it out would make a sum that looks complete.
    """
    kind, scope = (_fact(tree, supply, name) for name in ("type", "scope"))
    if kind is None:  # ACPI's name, for trees that were copied by hand
        return supply.name.startswith("BAT")
    return kind == "Battery" and scope != "Device"


def _fact(tree: SystemTree, supply: Path, name: str) -> str | None:
    """Return what a file of its own or `uevent` says, `None` if neither is there."""
    try:
        return tree.read(supply / name).strip()
    except FileNotFoundError:
        return _values(tree, supply).get(name) if present(supply / "uevent") else None


def _values(tree: SystemTree, supply: Path) -> dict[str, str]:
    """Return the values of one moment; raises `OSError`.

    Where there is no `uevent`, as in trees that were copied by hand, the single files serve.
    """
    try:
        lines = tree.read(supply / "uevent").splitlines()
    except FileNotFoundError:
        texts = {name: text for name in _FILES if (text := tree.text(supply / name))}
        if not texts:
            raise
        return texts
    pairs = (line.strip().removeprefix(_PREFIX).partition("=") for line in lines)
    return {name.lower(): value for name, equals, value in pairs if equals and value}


def _power_w(name: str, values: Mapping[str, str]) -> tuple[float, float]:
    """Return power and the step of it, in watts; raises `ValueError` naming what is missing."""
    power_uw = _number(values, "power_now")
    if power_uw is not None:
        return abs(power_uw) * 1e-6, _step(power_uw) * 1e-6
    current_ua, voltage_uv = _number(values, "current_now"), _number(values, "voltage_now")
    if current_ua is None or voltage_uv is None:
        told = {"current_now": current_ua, "voltage_now": voltage_uv}
        missing = " and ".join(key for key, value in told.items() if value is None)
        raise ValueError(f"the battery {name} tells no power_now, and {missing} is missing too")
    volts = abs(voltage_uv) * 1e-6
    return abs(current_ua) * 1e-6 * volts, _step(current_ua) * 1e-6 * volts


def _number(values: Mapping[str, str], key: str) -> int | None:
    text = values.get(key, "")
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def _step(value: int) -> int:
    """Return the step of a value in millionths: firmware tells ACPI batteries in thousandths."""
    return 1000 if value % 1000 == 0 else 1


def _discover_portable(tree: SystemTree) -> Discovery:
    """List a battery of which the system tells the charge but not the power."""
    if read_supply(tree).battery_percent is None:
        return Discovery((), ())
    reason = "This system tells how full the battery is, in percent, but not what it delivers."
    remedy = "Measure with an external power meter."
    return Discovery((), (failed(_INFO, SourceState.UNSUPPORTED, reason, remedy),))
