"""Energy counters and power sensors that chips show through hwmon, for chips on an allow-list.

`/sys/class/hwmon/hwmon*/name` tells the chip, `energyN_input` is in uJ, `powerN_input` and
`powerN_average` are in uW (Linux `Documentation/hwmon/sysfs-interface.rst`). What such a value
covers is told by no file, so a chip is read only if its driver's documentation says it; others are
listed with the reason that they are not.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeagent.meter.energy.reading import failed, group_read_remedy, offer
from edgeagent.meter.host.attributes import number, number_or_none
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, matching, present
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

_PER_MILLION = 1e-6
_MAX_POWER_W = 2000.0
"""More than any graphics card or power supply of a desk delivers."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """What the documentation says about one value of a chip.

    Attributes:
        part: Appended to the chip's name, empty for the only value of a chip.
        files: Names of the value's file; the first that exists is read.
        scope: What the value covers, coarsely.
        total: What it is an addend of, `None` if it stands alone.
        covers: What the value covers, in words.
        source: Where that is documented.
        label: What the label file beside it must say, `None` if it is not asked for.
        interval_s: Shortest time between two reads that makes sense.
        sleeps: Whether a read would wake a device that is suspended.
    """

    part: str
    files: tuple[str, ...]
    scope: Scope
    total: str | None
    covers: str
    source: str
    label: str | None = None
    interval_s: float = 0.05
    sleeps: bool = False


_AMDGPU = "Linux Documentation/gpu/amdgpu/thermal.rst"
_XE = "Linux Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon; labels in xe_hwmon.c"
_APPLE = "Linux Documentation/hwmon/macsmc-hwmon.rst; labels in arch/arm64/boot/dts/apple"

CHIPS: dict[str, tuple[Sensor, ...]] = {
    "amdgpu": (
        Sensor(
            "",
            ("power1_average", "power1_input"),
            Scope.MODULE,
            "gpu",
            "graphics card, as its firmware computes it",
            _AMDGPU,
            sleeps=True,
        ),
    ),
    "amdgpu of an APU": (
        Sensor(
            "",
            ("power1_average", "power1_input"),
            Scope.PACKAGE,
            None,
            "processor package with CPU and GPU, which RAPL covers too",
            _AMDGPU,
            sleeps=True,
        ),
    ),
    "i915": (
        Sensor(
            "",
            ("energy1_input",),
            Scope.MODULE,
            "gpu",
            "graphics card",
            "Linux Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon",
            sleeps=True,
        ),
    ),
    "xe": (
        Sensor("card", ("energy1_input",), Scope.MODULE, "gpu", "graphics card", _XE, sleeps=True),
        Sensor(
            "pkg", ("energy2_input",), Scope.PACKAGE, None, "chip of the card", _XE, sleeps=True
        ),
    ),
    "corsairpsu": (
        Sensor(
            "",
            ("power1_input",),
            Scope.SYSTEM,
            "system",
            "what the power supply delivers on all its rails",
            "Linux Documentation/hwmon/corsair-psu.rst",
            interval_s=1.0,
        ),
    ),
    "power_meter": (
        Sensor(
            "",
            ("power1_average",),
            Scope.SYSTEM,
            None,
            "what the firmware's ACPI tables connect the meter to",
            "Linux Documentation/hwmon/acpi_power_meter.rst",
            interval_s=1.0,
        ),
    ),
    "macsmc_hwmon": (
        Sensor(
            "",
            tuple(f"power{index}_input" for index in range(1, 17)),
            Scope.SYSTEM,
            "system",
            "the whole Mac",
            _APPLE,
            label="Total System Power",
            interval_s=1.0,
        ),
    ),
}
"""What is read, by the chip's name; an APU is told apart by `in1_label`, which only APUs have."""

_READ_ELSEWHERE = frozenset({"ina3221", "ina238"})
"""Chips that another reader knows more about."""


def discover_hwmon(tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find the chips on the allow-list and probe each value; list the others that have one."""
    chips = [(folder, name) for folder, name in _chips(tree) if name not in _READ_ELSEWHERE]
    names = [name for _, name in chips]
    offers: list[Discovery] = []
    unknown: dict[str, SourceInfo] = {}
    for folder, name in chips:
        sensors = CHIPS.get(_kind(tree, folder, name))
        if sensors is None:
            unknown.setdefault(name, _unknown(folder, name))
            continue
        place = f"@{_device(folder)}" if names.count(name) > 1 else ""
        documented = [
            found
            for sensor in sensors
            if (found := _offer(tree, folder, f"hwmon:{name}{place}", sensor)) is not None
        ]
        offers += documented or [Discovery((), (_unknown(folder, name),))]
    return Discovery.union((*offers, Discovery((), tuple(unknown.values()))))


def _chips(tree: SystemTree) -> Iterator[tuple[Path, str]]:
    """Return the chips that show energy or power, without those of batteries and chargers."""
    for folder in matching(tree.sys / "class" / "hwmon", "hwmon*"):
        name = tree.text(folder / "name")
        has_value = any(
            matching(folder, pattern)
            for pattern in ("energy*_input", "power*_input", "power*_average")
        )
        is_supply = "POWER_SUPPLY_NAME=" in (tree.text(folder / "device" / "uevent") or "")
        if name and has_value and not is_supply:
            yield folder, name


def _kind(tree: SystemTree, folder: Path, name: str) -> str:
    """Return the key of `CHIPS`; only APUs have the voltage of a northbridge (`amdgpu_pm.c`)."""
    if name == "amdgpu" and tree.text(folder / "in1_label") == "vddnb":
        return "amdgpu of an APU"
    return name


def _device(folder: Path) -> str:
    """Return the address of the device that a chip belongs to, else the number of the chip."""
    device = (folder / "device").resolve()
    return device.name if device.name != "device" else folder.name


def _offer(tree: SystemTree, folder: Path, source: str, sensor: Sensor) -> Discovery | None:
    path = _path(tree, folder, sensor)
    if path is None:
        return None
    is_counter = path.name.startswith("energy")
    interval_ms = number_or_none(tree, folder / "power1_average_interval")
    interval_s = max(sensor.interval_s, (interval_ms or 0) / 1e3)
    info = SourceInfo(
        source=f"{source}-{sensor.part}" if sensor.part else source,
        quantity="energy_j" if is_counter else "power_w",
        kind=SampleKind.COUNTER if is_counter else SampleKind.SAMPLED,
        scope=sensor.scope,
        resolution=None,  # drivers compute the value; its last digit is no step of a sensor
        total=sensor.total,
        interval_s=None if is_counter else interval_s,
        max_power_w=_MAX_POWER_W,
    )

    def take() -> float:
        """Read once, without waking a device that sleeps."""
        if sensor.sleeps and _sleeps(tree, folder):
            raise MeterError("The device is suspended, and reading would wake it.")
        try:
            value = number(tree, path)
        except PermissionError as error:
            if (
                sensor.sleeps and error.errno == errno.EPERM
            ):  # amdgpu's answer while it resets or is suspended
                raise MeterError(f"{path}: the device is suspended or resets.") from error
            raise
        if is_counter and value < 0:
            raise ValueError(f"{path} holds a negative number")
        return value * _PER_MILLION

    remedies = {SourceState.PERMISSION: group_read_remedy(path)}
    if sensor.sleeps:
        remedies[SourceState.STALE] = "Start the program that uses the device first."
    return offer(
        info, take, min_interval_s=0.0 if is_counter else sensor.interval_s, remedies=remedies
    )


def _path(tree: SystemTree, folder: Path, sensor: Sensor) -> Path | None:
    for name in sensor.files:
        path = folder / name
        if not present(path):
            continue
        label = tree.text(folder / f"{name.partition('_')[0]}_label")
        if sensor.label is None or label == sensor.label:
            return path
    return None


def _sleeps(tree: SystemTree, folder: Path) -> bool:
    """Whether the chip's device is suspended (`Documentation/ABI/testing/sysfs-devices-power`)."""
    return tree.text(folder / "device" / "power" / "runtime_status") == "suspended"


def _unknown(folder: Path, name: str) -> SourceInfo:
    has_counter = bool(matching(folder, "energy*_input"))
    return failed(
        SourceInfo(
            source=f"hwmon:{name}",
            quantity="energy_j" if has_counter else "power_w",
            kind=SampleKind.COUNTER if has_counter else SampleKind.SAMPLED,
            scope=Scope.RAIL,
        ),
        SourceState.UNSUPPORTED,
        f"No value of the chip {name!r} in {folder} is on the allow-list: what they cover is not "
        "known here.",
        "If its driver documents it, add the chip to edgeagent/meter/energy/hwmon.py.",
    )
