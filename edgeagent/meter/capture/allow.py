"""What a capture may contain: these files and no others.

Patterns are paths below `/` as readers of hardware use them, `*` and `[...]` within one component;
links on the way are followed and kept. A reader of new hardware adds its files here, or captures
of that hardware will lack them: a test compares this list with what discovery reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgeagent.meter.tree import SystemTree


@dataclass(frozen=True, slots=True)
class Rule:
    """Files of one kind.

    Attributes:
        folder: Pattern of their folder.
        names: Patterns of their names.
        live: Whether their values change while a capture runs, so that every frame reads them.
        lines: Beginnings of the lines that are kept, all lines if empty.
        is_binary: Whether they are tables of the kernel instead of text.
    """

    folder: str
    names: tuple[str, ...]
    live: bool = False
    lines: tuple[str, ...] = ()
    is_binary: bool = False


_HWMON_FACTS = ("name", "label", "update_interval", "samples")
_HWMON_LIMITS = ("*_label", "*_enable", "*_max", "*_crit", "*_type", "*_cap", "shunt*_resistor")
_HWMON_VALUES = ("*_input", "*_average", "*_alarm", "*_event_cnt")
_IIO_VALUES = ("in_power*_input", "in_current*_input", "in_voltage*_input")

ENERGY = (
    Rule("sys/class/powercap/*", ("name", "enabled", "max_energy_range_uj", "constraint_*")),
    Rule("sys/class/powercap/*", ("energy_uj",), live=True),
    Rule("sys/bus/event_source/devices/power", ("type", "cpumask")),
    Rule("sys/bus/event_source/devices/power/*", ("*",)),  # events and format
    Rule("proc/sys/kernel", ("perf_event_paranoid",)),
    Rule("sys/class/power_supply/*", ("type", "scope", "technology", "*_full", "*_design")),
    Rule("sys/class/power_supply/*", ("uevent",), live=True, lines=("POWER_SUPPLY_",)),
    Rule(
        "sys/class/power_supply/*",
        ("status", "online", "present", "capacity", "*_now", "*_avg"),
        live=True,
    ),
    Rule("sys/bus/i2c/drivers/ina*/*", ("name",)),
    Rule("sys/bus/i2c/drivers/ina*/*/hwmon/hwmon*", (*_HWMON_FACTS, *_HWMON_LIMITS)),
    Rule("sys/bus/i2c/drivers/ina*/*/hwmon/hwmon*", _HWMON_VALUES, live=True),
    Rule("sys/bus/i2c/drivers/ina*/*/iio:device*", ("name", "rail_name_*", "crit_current_*")),
    Rule("sys/bus/i2c/drivers/ina*/*/iio:device*", _IIO_VALUES, live=True),
    Rule("sys/bus/iio/devices/iio:device*", ("name", "label", "rail_name_*")),
    Rule("sys/bus/iio/devices/iio:device*", _IIO_VALUES, live=True),
)
"""Counters and power monitors."""

HEAT_AND_CLOCKS = (
    Rule("sys/class/hwmon/hwmon*", (*_HWMON_FACTS, *_HWMON_LIMITS)),
    Rule("sys/class/hwmon/hwmon*", _HWMON_VALUES, live=True),
    Rule("sys/class/hwmon/hwmon*", ("power*_average_interval",)),
    Rule("sys/class/hwmon/hwmon*/device", ("uevent",), lines=("POWER_SUPPLY_NAME=",)),
    Rule("sys/class/hwmon/hwmon*/device/power", ("runtime_status",)),
    Rule("sys/class/thermal/thermal_zone*", ("type", "mode", "trip_point_*")),
    Rule("sys/class/thermal/thermal_zone*", ("temp",), live=True),
    Rule("sys/class/thermal/cooling_device*", ("type", "max_state")),
    Rule("sys/class/thermal/cooling_device*", ("cur_state",), live=True),
    Rule("sys/devices/platform/*-throttle-alert", ("thermal_trip_event",), live=True),
    Rule("sys/devices/platform/soc*/*firmware", ("get_throttled",), live=True),
    Rule("sys/devices/system/cpu", ("online", "possible", "present")),
    Rule("sys/devices/system/cpu/cpu[0-9]*", ("cpu_capacity",)),
    Rule(
        "sys/devices/system/cpu/cpu[0-9]*/topology",
        ("physical_package_id", "die_id", "core_id", "thread_siblings_list", "core_cpus_list"),
    ),
    Rule("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle", ("*",), live=True),
    Rule(
        "sys/devices/system/cpu/cpufreq/policy*",
        (
            *("affected_cpus", "related_cpus", "cpuinfo_m*", "base_frequency", "bios_limit"),
            *("scaling_m*", "scaling_governor", "scaling_driver", "energy_performance_*"),
        ),
    ),
    Rule("sys/devices/system/cpu/cpufreq/policy*", ("scaling_cur_freq",), live=True),
    Rule("sys/devices/system/cpu/cpufreq", ("boost",)),
    Rule("sys/devices/system/cpu/intel_pstate", ("status", "no_turbo", "turbo_pct")),
    Rule("sys/devices/system/cpu/amd_pstate", ("status",)),
    Rule("sys/class/devfreq/*", ("name", "governor", "m*_freq", "available_*")),
    Rule("sys/class/devfreq/*", ("cur_freq", "load"), live=True),
    Rule("sys/firmware/acpi", ("platform_profile", "platform_profile_choices")),
    Rule("var/lib/nvpmodel", ("status",)),
    Rule("etc", ("nvpmodel.conf", "nv_tegra_release")),
)
"""Temperatures, throttling, frequencies and the modes that decide about them."""

ACCELERATORS = (
    Rule("sys/class/drm/card[0-9]*", ("gt_*_freq_mhz",)),
    Rule("sys/class/drm/card[0-9]*/device", ("vendor", "device", "mem_info_*_total")),
    Rule("sys/class/drm/card[0-9]*/device", ("gpu_busy_percent", "mem_info_*_used"), live=True),
    Rule("sys/class/drm/card[0-9]*/device", ("gpu_metrics",), live=True, is_binary=True),
    Rule("sys/class/accel/accel*/device", ("vendor", "device", "npu_m*_frequency_mhz")),
    Rule(
        "sys/class/accel/accel*/device",
        ("npu_busy_time_us", "npu_current_frequency_mhz", "npu_memory_utilization"),
        live=True,
    ),
    Rule("sys/devices/platform/*", ("load",), live=True),
    Rule("sys/devices/platform/bus@0/*", ("load",), live=True),
    Rule("proc/driver/nvidia", ("version",)),
)
"""Which GPU and NPU there are, and how busy."""

MACHINE = (
    Rule("proc/device-tree", ("model", "compatible")),
    Rule("sys/firmware/devicetree/base", ("model", "compatible")),
    Rule(
        "sys/class/dmi/id",
        (
            *("sys_vendor", "product_name", "product_version", "product_family", "chassis_type"),
            *("board_vendor", "board_name", "bios_vendor", "bios_version"),
        ),
    ),
    Rule("sys/hypervisor", ("type",)),
    Rule("proc", ("cpuinfo",)),
    Rule("proc", ("meminfo", "loadavg"), live=True),
    Rule("proc", ("stat",), live=True, lines=("cpu", "ctxt", "procs_")),
    Rule("proc", ("vmstat",), live=True, lines=("pswp", "pgmajfault", "oom_kill")),
    Rule("proc", ("swaps",)),
    Rule("proc/pressure", ("cpu", "memory", "io"), live=True),
    Rule("proc/self", ("status",), live=True, lines=("Vm", "Rss", "Threads")),
    Rule("proc/self", ("smaps_rollup",), lines=("Rss", "Pss", "Private_", "Swap")),
    Rule("proc/self", ("cgroup",)),
    Rule("sys/block/zram*", ("disksize", "comp_algorithm")),
    Rule("sys/block/zram*", ("mm_stat",), live=True),
)
"""What machine it is, and its memory and load."""

_CGROUP_NAMES = (
    *("cpu.max", "memory.max", "memory.high", "memory.swap.max"),
    *("cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes"),
)


def rules(tree: SystemTree) -> tuple[Rule, ...]:
    """Return all rules, with those of the control groups that this process is in."""
    return (*ENERGY, *HEAT_AND_CLOCKS, *ACCELERATORS, *MACHINE, *_cgroup_rules(tree))


def technical_words() -> frozenset[str]:
    """Return the words that names of allowed files consist of, such as `max` and `temp`."""
    every = (*ENERGY, *HEAT_AND_CLOCKS, *ACCELERATORS, *MACHINE)
    texts = (text for rule in every for text in (rule.folder, *rule.names, *rule.lines))
    return frozenset(word for text in texts for word in re.findall(r"[a-z]+", text.lower()))


def _cgroup_rules(tree: SystemTree) -> tuple[Rule, ...]:
    """Allow the limits of the process's own groups and of their ancestors, and of no others."""
    folders = {"sys/fs/cgroup", "sys/fs/cgroup/cpu", "sys/fs/cgroup/memory"}
    for line in (tree.text(tree.proc / "self" / "cgroup") or "").splitlines():
        _, _, own = line.rpartition(":")
        path = PurePosixPath(own.lstrip("/"))
        if ".." in path.parts:
            continue
        for mount in tuple(folders):
            if mount.count("/") <= 3:
                for group in (path, *path.parents):
                    folders.add(str(PurePosixPath(mount) / group))
    escaped = sorted(folder.replace("[", "[[]").replace("*", "[*]") for folder in folders)
    return tuple(Rule(folder, _CGROUP_NAMES) for folder in escaped)
