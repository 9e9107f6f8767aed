"""What holds the processor back: counters of throttle events, and states that hold now.

Events are counters (`throttle_events`), states are 0 or more (`throttle_state`):

- x86: `thermal_throttle/{core,package}_throttle_count` (`arch/x86/kernel/cpu/mce`, Intel only);
- Jetson: over-current and under-voltage events, `oc*_event_cnt` of the hwmon chip `soctherm_oc`,
  and trips of `*-throttle-alert` (Jetson Linux Developer Guide, Platform Power and Performance);
- Raspberry Pi: under-voltage alarm of the hwmon chip `rpi_volt`, and the firmware's
  `get_throttled`: bits 0-3 say what holds now, bits 16-19 what did since boot
  (Raspberry Pi documentation, `vcgencmd get_throttled`);
- any Linux: cooling devices that lower clocks (`cpufreq`, `devfreq`, `Processor`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeagent.meter.host.attributes import number, number_or_none, system_of
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import ONCE_A_SECOND, Snapshot, missing, probe
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, in_order, matching, present
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

EVENTS, STATE = "throttle_events", "throttle_state"

_COOLING = re.compile(r"Processor|.*(cpufreq|devfreq|cpu-idle|throttle-alert).*")
"""Types of cooling devices that slow something down; fans do not."""

_FIRMWARE_NOW, _FIRMWARE_SEEN = 0x0000F, 0xF0000

_REASONS = {
    "darwin": "macOS does not tell programs how often clocks were throttled.",
    "win32": "Windows does not tell programs how often clocks were throttled.",
}


@dataclass(frozen=True, slots=True)
class Throttle:
    """One thing that tells about throttling.

    Attributes:
        source: Its name.
        quantity: `throttle_events` or `throttle_state`.
        read: Returns the value; raises `OSError` or `ValueError`.
        where: What is read.
    """

    source: str
    quantity: str
    read: Callable[[], float]
    where: str


def discover_throttle(tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find everything that tells about throttling."""
    found = list(_throttles(tree)) if system_of(tree) == "linux" else []
    if found:
        return Discovery.union(_probe(throttle) for throttle in found)
    info = _info("throttle:events", EVENTS)
    if system_of(tree) != "linux":
        reason = _REASONS.get(system_of(tree), "edgeagent cannot read throttle events here.")
        return missing([info], SourceState.UNSUPPORTED, reason)
    reason = "This system counts no throttle events; clocks and temperature show some of them."
    return missing([info], SourceState.ABSENT, reason)


def throttle_values(tree: SystemTree = THIS_MACHINE, quantity: str = EVENTS) -> dict[str, float]:
    """Return what every source of a quantity says now, without those that fail."""
    values: dict[str, float] = {}
    if system_of(tree) != "linux":
        return values
    for throttle in _throttles(tree):
        if throttle.quantity == quantity:
            try:
                values[throttle.source] = throttle.read()
            except (OSError, ValueError):
                continue
    return values


def _probe(throttle: Throttle) -> Discovery:
    def look() -> Mapping[str, float]:
        return {throttle.source: throttle.read()}

    wanted = [(_info(throttle.source, throttle.quantity), (throttle.source,))]
    return probe(wanted, Snapshot(look), ONCE_A_SECOND, throttle.where)


def _info(source: str, quantity: str) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity=quantity,
        kind=SampleKind.COUNTER if quantity == EVENTS else SampleKind.SAMPLED,
        scope=Scope.PACKAGE,
        resolution=1.0,
    )


def _throttles(tree: SystemTree) -> Iterator[Throttle]:
    yield from _x86(tree)
    yield from _overcurrent(tree)
    yield from _trips(tree)
    yield from _raspberry_pi(tree)
    yield from _cooling(tree)


def _x86(tree: SystemTree) -> Iterator[Throttle]:
    """Hardware threads count for themselves what their core and package share: one is enough."""
    packages: dict[int, Path] = {}
    cores: dict[tuple[int, int], Path] = {}
    for cpu in matching(tree.sys / "devices" / "system" / "cpu", "cpu[0-9]*"):
        topology, counts = cpu / "topology", cpu / "thermal_throttle"
        package = number_or_none(tree, topology / "physical_package_id") or 0
        core = number_or_none(tree, topology / "core_id")
        if present(counts / "package_throttle_count"):
            packages.setdefault(package, counts / "package_throttle_count")
        if present(counts / "core_throttle_count"):
            key = (package, core if core is not None else len(cores))
            cores.setdefault(key, counts / "core_throttle_count")
    for name, paths in (("package", list(packages.values())), ("core", list(cores.values()))):
        if paths:
            yield Throttle(f"throttle:{name}", EVENTS, _sum(tree, paths), str(paths[0]))


def _overcurrent(tree: SystemTree) -> Iterator[Throttle]:
    for path in matching(tree.sys / "class" / "hwmon", "hwmon*/oc*_event_cnt"):
        if tree.text(path.parent / "name") == "soctherm_oc":
            name = path.name.removesuffix("_event_cnt")
            yield Throttle(f"throttle:{name}", EVENTS, _sum(tree, [path]), str(path))


def _trips(tree: SystemTree) -> Iterator[Throttle]:
    alerts = matching(tree.sys / "devices" / "platform", "*-throttle-alert/thermal_trip_event")
    for path in in_order(alerts):
        name = path.parent.name.removesuffix("-throttle-alert")
        yield Throttle(f"throttle:{name}_trip", EVENTS, _sum(tree, [path]), str(path))


def _raspberry_pi(tree: SystemTree) -> Iterator[Throttle]:
    for chip in matching(tree.sys / "class" / "hwmon", "hwmon*"):
        alarm = chip / "in0_lcrit_alarm"
        if tree.text(chip / "name") == "rpi_volt" and present(alarm):
            yield Throttle("throttle:undervoltage", STATE, _sum(tree, [alarm]), str(alarm))
    platform = tree.sys / "devices" / "platform"
    for path in matching(platform, "soc*/*firmware/get_throttled")[:1]:
        now = _bits(tree, path, _FIRMWARE_NOW)
        yield Throttle("throttle:firmware", STATE, now, str(path))
        seen = _bits(tree, path, _FIRMWARE_SEEN)
        yield Throttle("throttle:firmware_since_boot", EVENTS, seen, str(path))


def _cooling(tree: SystemTree) -> Iterator[Throttle]:
    devices = [
        device / "cur_state"
        for device in matching(tree.sys / "class" / "thermal", "cooling_device*")
        if _COOLING.fullmatch(tree.text(device / "type") or "")
    ]
    if devices:
        yield Throttle("throttle:cooling", STATE, _sum(tree, devices), str(devices[0]))


def _sum(tree: SystemTree, paths: list[Path]) -> Callable[[], float]:
    """Return a function that adds up non-negative numbers.

    Of a counter every file is needed: one that is left out would look like a counter that fell.
    """

    def read_one(path: Path) -> float:
        value = number(tree, path)
        if value < 0:
            raise ValueError(f"{path.name} is {value}")
        return float(value)

    def read_all() -> float:
        return sum(read_one(path) for path in paths)

    return read_all


def _bits(tree: SystemTree, path: Path, mask: int) -> Callable[[], float]:
    """Return a function that counts the bits of a hexadecimal number below a mask."""

    def read_bits() -> float:
        text = tree.read(path).strip()
        if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", text):
            raise ValueError(f"{path.name} is {text[:20]!r}, which is no hexadecimal number")
        return float((int(text, 16) & mask).bit_count())

    return read_bits
