"""Trees of what machines tell about clocks, heat, throttling and modes.

The layout of the Intel laptop and of the Raspberry Pi follows the kernel's documentation, that of
the Jetson its developer guide; all values are synthetic.
"""

from __future__ import annotations

from pathlib import Path

from sensor_trees import write

from edgeagent.meter.tree import Reader, SystemTree, read_text


def files(root: Path, texts: dict[str, str], read: Reader = read_text) -> SystemTree:
    """Write files below a root, and make it one of a Linux machine."""
    write(root / "proc/cpuinfo", "processor\t: 0")
    for path, text in texts.items():
        write(root / path, text)
    return SystemTree(root, read)


def policy(number: int, **texts: str) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpufreq/policy{number}"
    return {f"{folder}/{name}": text for name, text in texts.items()}


def x86_counts(cpu: int, core: int, package: int, counts: tuple[int, int]) -> dict[str, str]:
    """A hardware thread with the throttle counts of its core and of its package."""
    folder = f"sys/devices/system/cpu/cpu{cpu}"
    return {
        f"{folder}/topology/core_id": str(core),
        f"{folder}/topology/physical_package_id": str(package),
        f"{folder}/thermal_throttle/core_throttle_count": str(counts[0]),
        f"{folder}/thermal_throttle/package_throttle_count": str(counts[1]),
    }


def zone(number: int, kind: str, temp: str, trips: dict[str, str] | None = None) -> dict[str, str]:
    folder = f"sys/class/thermal/thermal_zone{number}"
    found = {f"{folder}/type": kind, f"{folder}/temp": temp}
    for index, (trip, value) in enumerate((trips or {}).items()):
        found[f"{folder}/trip_point_{index}_type"] = trip
        found[f"{folder}/trip_point_{index}_temp"] = value
    return found


def cooling(number: int, kind: str, state: str) -> dict[str, str]:
    folder = f"sys/class/thermal/cooling_device{number}"
    return {f"{folder}/type": kind, f"{folder}/cur_state": state}


def chip(number: int, name: str, **texts: str) -> dict[str, str]:
    folder = f"sys/class/hwmon/hwmon{number}"
    return {f"{folder}/name": name, **{f"{folder}/{key}": text for key, text in texts.items()}}


JETSON_CONF = """# a comment
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=2 NAME=MODE_15W >
< PM_CONFIG DEFAULT=2 >
"""


def jetson(root: Path, read: Reader = read_text) -> SystemTree:
    """An Orin module in its 15 W mode, throttled by over-current twice, with a zone that is off."""
    return files(
        root,
        {
            **policy(0, scaling_cur_freq="1510400", scaling_max_freq="1510400"),
            **zone(0, "cpu-thermal", "48031", {"passive": "99000", "critical": "104500"}),
            **zone(1, "gpu-thermal", "99999"),
            **zone(2, "tj-thermal", "51500", {"active": "50000", "passive": "99000"}),
            **cooling(0, "pwm-fan", "3"),
            **cooling(1, "cpu-throttle-alert", "0"),
            **cooling(2, "thermal-cpufreq-0", "0"),
            **chip(3, "soctherm_oc", oc1_event_cnt="0", oc2_event_cnt="2", oc1_throt_en="1"),
            "sys/devices/platform/cpu-throttle-alert/thermal_trip_event": "0",
            "var/lib/nvpmodel/status": "pmode:0002 fmode:fan_mode_quiet",
            "etc/nvpmodel.conf": JETSON_CONF,
        },
        read,
    )
