"""File trees of boards with power monitors, of batteries and of hwmon chips.

All are synthetic: values are made up, the layout is that of the drivers' documentation, labels and
device tree entries of boards are those of NVIDIA's device trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sensor_trees import write

Rail = tuple[str, int, int]
"""Label, millivolts, milliamperes."""


def board(tmp_path: Path, compatible: str, model: str) -> Path:
    """Name the board in the device tree; return the folder that stands for `/`."""
    folder = tmp_path / "proc/device-tree"
    folder.mkdir(parents=True, exist_ok=True)
    entries = f"{compatible}\x00nvidia,tegra\x00"
    (folder / "compatible").write_bytes(entries.encode())
    (folder / "model").write_bytes(f"{model}\x00".encode())
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd")
    return tmp_path


def hwmon_ina3221(
    root: Path,
    chip: str,
    index: int,
    rails: Mapping[int, Rail],
    shunt_uohm: int | None = 5000,
) -> Path:
    """Add an INA3221 as mainline and JetPack 5 to 7 show it, with its links; return its folder."""
    device = root / f"sys/devices/platform/bus@0/i2c/{chip}"
    folder = device / f"hwmon/hwmon{index}"
    write(folder / "name", "ina3221")
    for channel in (1, 2, 3):
        label, millivolts, milliamperes = rails.get(channel, ("NC", 0, 0))
        write(folder / f"in{channel}_label", label)
        write(folder / f"in{channel}_enable", "1")
        write(folder / f"in{channel}_input", str(millivolts))
        write(folder / f"curr{channel}_input", str(milliamperes))
        if shunt_uohm is not None:
            write(folder / f"shunt{channel}_resistor", str(shunt_uohm))
        write(folder / f"in{channel + 3}_input", "40")
    write(folder / "in7_label", "sum of shunt voltages")
    write(folder / "in7_input", "120")
    _link(root / f"sys/bus/i2c/drivers/ina3221/{chip}", device)
    _link(root / f"sys/class/hwmon/hwmon{index}", folder)
    return folder


def hwmon_ina238(root: Path, chip: str, index: int, microwatts: int) -> Path:
    """Add an INA238, which has no label; return its folder."""
    device = root / f"sys/devices/platform/bus@0/i2c/{chip}"
    folder = device / f"hwmon/hwmon{index}"
    for name, text in (
        ("name", "ina238"),
        ("in0_input", "2"),
        ("in1_input", "19500"),
        ("curr1_input", "3000"),
        ("power1_input", str(microwatts)),
    ):
        write(folder / name, text)
    _link(root / f"sys/bus/i2c/drivers/ina238/{chip}", device)
    _link(root / f"sys/class/hwmon/hwmon{index}", folder)
    return folder


def iio_ina3221(root: Path, chip: str, index: int, rails: tuple[Rail, ...]) -> Path:
    """Add an INA3221 as JetPack 4 shows it, with its links; return its folder."""
    device = root / f"sys/devices/c240000.i2c/i2c-1/{chip}"
    folder = device / f"iio:device{index}"
    write(device / "name", "ina3221x")
    write(folder / "name", "ina3221x")
    for channel, (label, millivolts, milliamperes) in enumerate(rails):
        write(folder / f"rail_name_{channel}", label)
        write(folder / f"in_voltage{channel}_input", str(millivolts))
        write(folder / f"in_current{channel}_input", str(milliamperes))
        write(folder / f"in_power{channel}_input", str(millivolts * milliamperes // 1000))
    _link(root / f"sys/bus/i2c/drivers/ina3221x/{chip}", device)
    _link(root / f"sys/bus/iio/devices/iio:device{index}", folder)
    return folder


def supply(root: Path, name: str, kind: str, **values: object) -> Path:
    """Add a power supply with its `uevent` and the single files; return its folder."""
    folder = root / f"sys/class/power_supply/{name}"
    write(folder / "type", kind)
    lines = [f"POWER_SUPPLY_NAME={name}", f"POWER_SUPPLY_TYPE={kind}"]
    for key, value in values.items():
        write(folder / key, str(value))
        lines.append(f"POWER_SUPPLY_{key.upper()}={value}")
    write(folder / "uevent", "\n".join(lines))
    return folder


def hwmon_chip(root: Path, index: int, name: str, **values: object) -> Path:
    """Add a hwmon chip with some values; return its folder."""
    folder = root / f"sys/class/hwmon/hwmon{index}"
    write(folder / "name", name)
    for key, value in values.items():
        write(folder / key, str(value))
    return folder


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target, target_is_directory=True)
