"""File trees of /sys and /proc as real machines show them, and a reader that can fail.

The values of the Intel laptop and the counter ranges are transcribed from public captures; the
server and the virtual machine are synthetic.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgeagent.meter.tree import Reader, SystemTree, read_text

INTEL_RANGE_UJ = 262143328850
AMD_RANGE_UJ = 65532610987

INTEL_CPUINFO = (
    "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Core(TM)  i7\nflags\t\t: fpu avx2\n"
)
VM_CPUINFO = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 hypervisor\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def add_zone(root: Path, zone: str, name: str, energy_uj: int, range_uj: int) -> Path:
    """Add a powercap zone as the kernel does: a device folder and a link to it in the class."""
    device = root / "devices" / "virtual" / "powercap" / zone
    write(device / "name", name)
    write(device / "max_energy_range_uj", str(range_uj))
    energy = write(device / "energy_uj", str(energy_uj))
    link = root / "class" / "powercap" / zone
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(device, target_is_directory=True)
    return energy


def intel_laptop(tmp_path: Path, read: Reader = read_text) -> SystemTree:
    """Build the Intel laptop: package, its parts, psys, and the package again over MMIO."""
    root, proc = tmp_path / "sys", tmp_path / "proc"
    (root / "class" / "powercap" / "intel-rapl").mkdir(parents=True)
    (root / "class" / "powercap" / "intel-rapl-mmio").mkdir()
    add_zone(root, "intel-rapl:0", "package-0", 26963529117, INTEL_RANGE_UJ)
    add_zone(root, "intel-rapl:0:0", "core", 7980278886, INTEL_RANGE_UJ)
    add_zone(root, "intel-rapl:0:1", "uncore", 6564982278, INTEL_RANGE_UJ)
    add_zone(root, "intel-rapl:1", "psys", 41200000000, INTEL_RANGE_UJ)
    add_zone(root, "intel-rapl-mmio:0", "package-0", 26963529117, INTEL_RANGE_UJ)
    write(proc / "cpuinfo", INTEL_CPUINFO)
    write(root / "class/power_supply/AC/type", "Mains")
    write(root / "class/power_supply/AC/online", "0")
    write(root / "class/power_supply/BAT0/type", "Battery")
    write(root / "class/power_supply/BAT0/status", "Discharging")
    return SystemTree(tmp_path, read)


def overlay(failures: Mapping[str, int]) -> Reader:
    """Return a reader that raises the given error number for paths that end as given."""

    def read(path: Path) -> str:
        for end, number in failures.items():
            if path.as_posix().endswith(end):
                raise OSError(number, os.strerror(number), str(path))
        return read_text(path)

    return read
