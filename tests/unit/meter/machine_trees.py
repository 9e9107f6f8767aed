"""Whole sensor trees of machines, with the kernel's links between classes and devices.

All are synthetic: laid out as the kernel documents it, with made-up values. `MovingTree` lets the
values move, and raises the errors that plain files cannot.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from edgeagent.meter.tree import SystemTree, read_text

SECRETS = (
    "1425023456789",
    "48:b0:2d:aa:bb:cc",
    "4C4C4544-0042-3510-8051-B4C04F303532",
    "SN-BATTERY-77",
    "ada-lovelace",
    "babbage-desk",
    "8b5f0e6f2c1d4a7e9b3c5d7f8a9b0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f6a7b",
)
"""Serial number of a board, MAC, UUID, serial of a battery, user, host and container."""

CPUINFO = "processor\t: 0\nmodel name\t: {name}\nflags\t\t: fpu avx2\nSerial\t\t: 1425023456789\n"


class MovingTree:
    """A system tree that a test moves: values by file, errors by file, both replaceable."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.errors: dict[str, int] = {}
        self.values: dict[str, Callable[[], str]] = {}
        self.read_paths: set[str] = set()
        self.tree = SystemTree(root, self._read)

    def write(self, path: str, text: str | int) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n" if not str(text).endswith("\0") else str(text))

    def folder(self, path: str, **files: str | int) -> None:
        for name, text in files.items():
            self.write(f"{path}/{name}", text)

    def link(self, path: str, target: str) -> None:
        """Link to a path below the root, relatively, as sysfs does."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(self.root / target, place.parent))

    def _read(self, path: Path) -> str:
        name = Path(os.path.realpath(path)).relative_to(os.path.realpath(self.root)).as_posix()
        self.read_paths.add(name)
        if (number := self.errors.get(name)) is not None:
            raise OSError(number, os.strerror(number), str(path))
        if (value := self.values.get(name)) is not None:
            return value()
        return read_text(path)


def _common(machine: MovingTree, cpu: str) -> None:
    machine.write("proc/cpuinfo", CPUINFO.format(name=cpu))
    machine.write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\nSwapFree: 0 kB")
    machine.write("proc/loadavg", "0.10 0.10 0.10 1/100 4242")
    machine.write("proc/stat", "cpu  1 0 1 90 0 0 0 0 0 0\ncpu0 1 0 1 90 0 0 0 0 0 0\nbtime 170000")
    machine.write("proc/4242/status", "Name:\tada-lovelace\nVmRSS:\t 200 kB\nVmHWM:\t 300 kB")
    machine.write("proc/4242/cgroup", f"0::/user.slice/docker-{SECRETS[-1]}.scope")
    machine.link("proc/self", "proc/4242")
    machine.write(f"sys/fs/cgroup/user.slice/docker-{SECRETS[-1]}.scope/memory.max", "max")
    dmi = "sys/devices/virtual/dmi/id"
    machine.folder(dmi, sys_vendor="A Vendor", product_name="A Product", product_serial="S1")
    machine.folder(dmi, product_uuid=SECRETS[2], board_asset_tag="T1", chassis_serial="S2")
    machine.link("sys/class/dmi/id", dmi)
    machine.write("home/ada-lovelace/notes.txt", "nobody's business")
    machine.write("etc/hostname", "babbage-desk")
    machine.write("sys/class/net/eth0/address", SECRETS[1])
    mouse = f"sys/devices/pci0000:00/usb1/power_supply/hid-{SECRETS[1]}-battery"
    machine.folder(mouse, type="Battery", scope="Device", status="Discharging", capacity=77)
    machine.write(
        f"{mouse}/uevent",
        f"POWER_SUPPLY_NAME=hid-{SECRETS[1]}-battery\nPOWER_SUPPLY_MODEL_NAME=ada-lovelace mouse\n"
        "POWER_SUPPLY_SCOPE=Device",
    )
    machine.link(f"sys/class/power_supply/hid-{SECRETS[1]}-battery", mouse)


def jetson_orin_nano(root: Path) -> MovingTree:
    """Build an Orin Nano with JetPack 6: INA3221, thermal zones, one of which answers EAGAIN."""
    machine = MovingTree(root)
    _common(machine, "ARMv8 Processor rev 1 (v8l)")
    base = "sys/firmware/devicetree/base"
    machine.write(f"{base}/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    machine.write(f"{base}/compatible", "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    machine.write(f"{base}/serial-number", "1425023456789\0")
    machine.link("proc/device-tree", base)
    chip = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040"
    monitor = f"{chip}/hwmon/hwmon1"
    machine.write(f"{chip}/name", "ina3221")
    machine.folder(monitor, name="ina3221", update_interval=2)
    for number, label, millivolt, milliampere in (
        (1, "VDD_IN", 5000, 2000),
        (2, "VDD_CPU_GPU_CV", 5000, 520),
        (3, "VDD_SOC", 5000, 376),
    ):
        machine.folder(
            monitor,
            **{
                f"in{number}_label": label,
                f"in{number}_input": millivolt,
                f"in{number}_enable": 1,
                f"curr{number}_input": milliampere,
                f"shunt{number}_resistor": 5000,
            },
        )
    machine.write(f"{monitor}/in7_label", "sum of shunt voltages")
    machine.link("sys/bus/i2c/drivers/ina3221/1-0040", chip)
    machine.link("sys/class/hwmon/hwmon1", monitor)
    machine.link(f"{monitor}/device", chip)
    for index, kind in enumerate(("cpu-thermal", "cv0-thermal")):
        zone = f"sys/devices/virtual/thermal/thermal_zone{index}"
        machine.folder(zone, type=kind, temp=45000 + index)
        machine.link(f"sys/class/thermal/thermal_zone{index}", zone)
    machine.errors["sys/devices/virtual/thermal/thermal_zone1/temp"] = 11  # EAGAIN
    machine.write("var/lib/nvpmodel/status", "pmode:0002")
    machine.write("etc/nvpmodel.conf", "< POWER_MODEL ID=2 NAME=MAXN_SUPER >")
    return machine


def laptop_on_battery(root: Path) -> MovingTree:
    """Build an Intel laptop: package counter, its duplicate over MMIO, a discharging battery."""
    machine = MovingTree(root)
    _common(machine, "Intel(R) Core(TM) Ultra 7")
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl-mmio:0", "package-0")):
        device = f"sys/devices/virtual/powercap/{zone}"
        machine.folder(device, name=name, energy_uj=1000, max_energy_range_uj=262143328850)
        machine.link(f"sys/class/powercap/{zone}", device)
    battery = "sys/devices/LNXSYSTM:00/PNP0C0A:00/power_supply/BAT0"
    machine.folder(battery, type="Battery", status="Discharging", serial_number="SN-BATTERY-77")
    machine.folder(battery, power_now=19195000, energy_now=32940000, voltage_now=11206000)
    machine.write(
        f"{battery}/uevent",
        "POWER_SUPPLY_NAME=BAT0\nPOWER_SUPPLY_TYPE=Battery\nPOWER_SUPPLY_STATUS=Discharging\n"
        "POWER_SUPPLY_PRESENT=1\nPOWER_SUPPLY_VOLTAGE_NOW=11206000\n"
        "POWER_SUPPLY_POWER_NOW=19195000\nPOWER_SUPPLY_ENERGY_NOW=32940000\n"
        "POWER_SUPPLY_SERIAL_NUMBER=SN-BATTERY-77",
    )
    machine.link("sys/class/power_supply/BAT0", battery)
    machine.folder("sys/devices/AC", type="Mains", online=0)
    machine.link("sys/class/power_supply/AC", "sys/devices/AC")
    return machine


def desktop_without_permission(root: Path) -> MovingTree:
    """Build an AMD desktop: the package counter belongs to root, a GPU sleeps."""
    machine = MovingTree(root)
    _common(machine, "AMD Ryzen 9 7950X AuthenticAMD")
    zone = "sys/devices/virtual/powercap/intel-rapl:0"
    machine.folder(zone, name="package-0", energy_uj=5, max_energy_range_uj=65532610987)
    machine.link("sys/class/powercap/intel-rapl:0", zone)
    machine.errors[f"{zone}/energy_uj"] = 13  # EACCES
    for index, (device, name) in enumerate(
        (("0000:00:18.3", "k10temp"), ("0000:03:00.0", "amdgpu"))
    ):
        folder = f"sys/devices/pci0000:00/{device}/hwmon/hwmon{index}"
        machine.folder(folder, name=name, temp1_input=51000, temp1_label="Tctl")
        machine.link(f"sys/class/hwmon/hwmon{index}", folder)
        machine.link(f"{folder}/device", f"sys/devices/pci0000:00/{device}")
    gpu = "sys/devices/pci0000:00/0000:03:00.0"
    machine.write(f"{gpu}/hwmon/hwmon1/power1_average", 30000000)
    machine.write(f"{gpu}/power/runtime_status", "suspended")
    return machine


MACHINES = {
    "jetson": jetson_orin_nano,
    "laptop": laptop_on_battery,
    "desktop": desktop_without_permission,
}
