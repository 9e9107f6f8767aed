"""Power monitors of Texas Instruments on a board's supply rails, INA3221 and INA238.

Where their drivers show them, found by the `name` file because numbers of devices move:

- INA3221 in mainline and JetPack 5 to 7 (Linux `Documentation/hwmon/ina3221.rst`):
  `/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/` with `inN_label`, `inN_input` in mV,
  `currN_input` in mA, `shuntN_resistor` in uOhm and `inN_enable` for N = 1 to 3. What is called in4
  to in7 are shunt voltages. A channel that is switched off answers ENODATA.
- INA3221 in JetPack 4 (NVIDIA's driver `ina3221x`): `iio:device*/` with `rail_name_N`,
  `in_voltageN_input` in mV, `in_currentN_input` in mA for N = 0 to 2.
- INA238 (`Documentation/hwmon/ina238.rst`): `power1_input` in uW, multiplied inside the chip.

Power is voltage times current; both are read one behind the other, and the reading is stamped in
the middle of the two. A read waits for the I2C bus, 7 to 13 ms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgeagent.meter.host.attributes import number, number_or_none
from edgeagent.meter.tree import SystemTree, matching, present

_BUS_STEP_V = 0.008
_SHUNT_STEP_V = 40e-6
"""Least significant bits of the INA3221's two voltages (TI data sheet SBOS576; `ina3221.c`)."""

_UNUSED = "NC"
"""Label of a channel that nothing is connected to."""

_ADDRESS = re.compile(r"[0-9]+-[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Channel:
    """One rail's sensor.

    Attributes:
        sensor: Family, as device profiles call it: `ina3221` or `ina238`.
        label: What the system calls the rail, empty if nothing.
        place: Where it sits, such as `1-0040:1` for channel 1 of the chip at address 40 of bus 1.
        factors: The files whose product is the power.
        unit_w: Watts of a product of one.
        enable: File that says whether the channel is switched on, `None` if there is none.
        shunt: File with the shunt's resistance in uOhm, `None` if there is none.
        period: File with the time between two conversions in ms, `None` if there is none.
    """

    sensor: str
    label: str
    place: str
    factors: tuple[Path, ...]
    unit_w: float
    enable: Path | None = None
    shunt: Path | None = None
    period: Path | None = None


def find_channels(tree: SystemTree) -> tuple[Channel, ...]:
    """Return the channels of every such chip, in order of their place, without unused ones."""
    found: list[Channel] = []
    for folder in _folders(tree, "class/hwmon/hwmon*", "bus/i2c/drivers/ina*/*/hwmon/hwmon*"):
        name = tree.text(folder / "name")
        if name == "ina3221":
            found += _hwmon_ina3221(tree, folder)
        elif name == "ina238":
            found.append(_hwmon_ina238(tree, folder))
    for folder in _folders(
        tree, "bus/iio/devices/iio:device*", "bus/i2c/drivers/ina3221x/*/iio:device*"
    ):
        if "ina3221x" in {tree.text(folder / "name"), tree.text(folder.parent / "name")}:
            found += _iio_ina3221(tree, folder)
    used = (channel for channel in found if channel.label != _UNUSED)
    return tuple(sorted(used, key=lambda channel: channel.place))


def is_switched_off(channel: Channel, tree: SystemTree) -> bool:
    """Tell whether a channel says that it measures nothing."""
    return channel.enable is not None and tree.text(channel.enable) == "0"


def power_w(channel: Channel, tree: SystemTree) -> float:
    """Read the power of a rail once; small negative values occur and are what the chip says.

    Raises:
        OSError: The chip gave no value, such as ENODATA for a channel that was switched off.
        ValueError: A file holds no number.
    """
    product = channel.unit_w
    for path in channel.factors:
        product *= number(tree, path)
    return product


def resolution_w(channel: Channel, tree: SystemTree) -> float | None:
    """Return the step of a rail's power at its present voltage and current, `None` if unknown.

    A step of the current is the shunt voltage's least significant bit over the resistance. The
    power moves by that times the voltage, or by a step of the voltage times the current, whichever
    is coarser.
    """
    shunt_uohm = None if channel.shunt is None else number_or_none(tree, channel.shunt)
    if not shunt_uohm or shunt_uohm < 0 or len(channel.factors) != 2:
        return None
    voltage, current = (number_or_none(tree, path) for path in channel.factors)
    if voltage is None or current is None:
        return None
    step_a = _SHUNT_STEP_V / (shunt_uohm * 1e-6)
    return max(abs(voltage) * 1e-3 * step_a, abs(current) * 1e-3 * _BUS_STEP_V)


def period_s(channel: Channel, tree: SystemTree) -> float | None:
    """Return the time between two new values of a channel, `None` if the chip does not tell."""
    period_ms = None if channel.period is None else number_or_none(tree, channel.period)
    return period_ms / 1e3 if period_ms is not None and period_ms >= 0 else None


def _folders(tree: SystemTree, *patterns: str) -> list[Path]:
    """Return each device once: the class and the driver link to the same folder."""
    by_name: dict[str, Path] = {}
    for pattern in reversed(patterns):  # the driver's path tells the chip's address
        for path in matching(tree.sys, pattern):
            by_name.setdefault(path.name, path)
    return [by_name[name] for name in sorted(by_name)]


def _hwmon_ina3221(tree: SystemTree, folder: Path) -> list[Channel]:
    return [
        Channel(
            sensor="ina3221",
            label=tree.text(folder / f"in{channel}_label") or "",
            place=f"{_address(folder, folder.parent.parent)}:{channel}",
            factors=(folder / f"in{channel}_input", folder / f"curr{channel}_input"),
            unit_w=1e-6,
            enable=folder / f"in{channel}_enable",
            shunt=folder / f"shunt{channel}_resistor",
            period=folder / "update_interval",
        )
        for channel in (1, 2, 3)
        if present(folder / f"in{channel}_input")
    ]


def _hwmon_ina238(tree: SystemTree, folder: Path) -> Channel:
    labels = (tree.text(folder / name) for name in ("power1_label", "in1_label", "label"))
    return Channel(
        sensor="ina238",
        label=next((label for label in labels if label), ""),
        place=f"{_address(folder, folder.parent.parent)}:1",
        factors=(folder / "power1_input",),
        unit_w=1e-6,
        period=folder / "update_interval",
    )


def _iio_ina3221(tree: SystemTree, folder: Path) -> list[Channel]:
    return [
        Channel(
            sensor="ina3221",
            label=tree.text(folder / f"rail_name_{channel}") or "",
            place=f"{_address(folder, folder.parent)}:{channel + 1}",
            factors=(folder / f"in_voltage{channel}_input", folder / f"in_current{channel}_input"),
            unit_w=1e-6,
        )
        for channel in (0, 1, 2)
        if present(folder / f"in_voltage{channel}_input")
    ]


def _address(folder: Path, chip: Path) -> str:
    """Return bus and address of the chip that a device folder is of, else the folder's name."""
    for candidate in (chip, folder.resolve().parent, folder.resolve().parent.parent):
        if _ADDRESS.fullmatch(candidate.name):
            return candidate.name
    return folder.name
