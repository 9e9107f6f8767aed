"""Temperature of the processor: the hottest of the sensors that belong to it.

Linux: thermal zones (`Documentation/driver-api/thermal/sysfs-api.rst`) whose type names the
processor, and the hwmon chips `coretemp`, `k10temp` and `zenpower`
(`Documentation/hwmon/{coretemp,k10temp}.rst`), in thousandths of a degree Celsius. A zone may
answer EAGAIN for a while; it is left out of that reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeagent.meter.host.attributes import number, number_or_none, readable, system_of
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import ONCE_A_SECOND, Snapshot, missing, probe
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, matching
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

SOURCE = "cpu:temperature"

_ZONE = re.compile(
    r"x86_pkg_temp|tcpu(_pci)?"
    r"|(cpu|cpuss|cluster|bigcore|littlecore|package|soc|tj)[-_0-9]*therm(al)?",
    re.IGNORECASE,
)
"""Zones of processors: x86, Arm boards by their device trees, Jetson (`tj` is its hottest spot)."""

_CHIPS: Mapping[str, tuple[str, ...]] = {
    "coretemp": ("Package id ",),
    "k10temp": ("Tdie", "Tctl"),
    "zenpower": ("Tdie", "Tctl"),
}
"""Chips inside processors, with the starts of the labels of the whole package, best first.

`Tctl` is raised by up to 27 degrees on some processors to run fans faster; `Tdie` is not.
"""

_CREDIBLE_C = (-40.0, 150.0)
"""Sensors that are switched off answer with values far outside."""

_REASONS = {
    "darwin": "macOS tells programs no temperatures without administrator rights.",
    "win32": "Windows tells programs no processor temperature without administrator rights.",
}


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor of the processor.

    Attributes:
        value: File of the temperature.
        limit_c: Where the system begins to slow down because of it, `None` if it does not tell.
    """

    value: Path
    limit_c: float | None


def discover_heat(tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find the temperature of the processor."""
    info = SourceInfo(
        source=SOURCE,
        quantity="temperature_c",
        kind=SampleKind.SAMPLED,
        scope=Scope.PACKAGE,
        resolution=0.001,
    )
    system = system_of(tree)
    if system != "linux":
        reason = _REASONS.get(system, f"edgeagent cannot read temperatures on {system}.")
        return missing([info], SourceState.UNSUPPORTED, reason)
    paths = [sensor.value for sensor in processor_sensors(tree)]
    if not paths:
        reason = "No sensor of the processor is shown; a virtual machine's host hides them."
        return missing([info], SourceState.ABSENT, reason)

    def look() -> Mapping[str, float]:
        return {SOURCE: _hottest(tree, paths)}

    return probe([(info, (SOURCE,))], Snapshot(look), ONCE_A_SECOND, _names(paths))


def temperature_c(tree: SystemTree = THIS_MACHINE) -> float | None:
    """Return the temperature of the hottest processor sensor, `None` if none tells."""
    try:
        return _hottest(tree, [sensor.value for sensor in processor_sensors(tree)])
    except (OSError, ValueError):
        return None


def temperature_limit_c(tree: SystemTree = THIS_MACHINE) -> float | None:
    """Return where the system begins to slow down, the lowest of what sensors tell."""
    limits = (sensor.limit_c for sensor in processor_sensors(tree))
    return min((limit for limit in limits if limit is not None), default=None)


def processor_sensors(tree: SystemTree = THIS_MACHINE) -> list[Sensor]:
    """Return the sensors of the processor; the chip's own rather than zones that repeat them."""
    return list(_chip_sensors(tree)) or list(_zone_sensors(tree))


def _hottest(tree: SystemTree, paths: list[Path]) -> float:
    def read(path: Path) -> float:
        value_c = number(tree, path) / 1000.0
        if not _CREDIBLE_C[0] <= value_c <= _CREDIBLE_C[1]:
            raise ValueError(f"{path.name} says {value_c:g} degrees")
        return value_c

    values = readable(read, paths)
    if not values:
        raise ValueError("there is no sensor")
    return max(values)


def _zone_sensors(tree: SystemTree) -> Iterator[Sensor]:
    for zone in matching(tree.sys / "class" / "thermal", "thermal_zone*"):
        if _ZONE.fullmatch(tree.text(zone / "type") or ""):
            yield Sensor(zone / "temp", _passive_trip_c(tree, zone))


def _passive_trip_c(tree: SystemTree, zone: Path) -> float | None:
    """Return the lowest temperature at which the kernel slows something down."""
    limits = []
    for kind in matching(zone, "trip_point_*_type"):
        if tree.text(kind) == "passive":
            temperature = kind.with_name(kind.name.replace("_type", "_temp"))
            limits.append(_limit_c(tree, temperature))
    return min((limit for limit in limits if limit is not None), default=None)


def _chip_sensors(tree: SystemTree) -> Iterator[Sensor]:
    for chip in matching(tree.sys / "class" / "hwmon", "hwmon*"):
        labels = _CHIPS.get(tree.text(chip / "name") or "")
        if labels is None:
            continue
        inputs = matching(chip, "temp*_input")
        for path in _labelled(tree, inputs, labels) or inputs:
            crit = path.with_name(path.name.replace("_input", "_crit"))
            yield Sensor(path, _limit_c(tree, crit))


def _labelled(tree: SystemTree, inputs: list[Path], labels: tuple[str, ...]) -> list[Path]:
    """Return the inputs with the best label that there is."""
    names = {
        path: tree.text(path.with_name(path.name.replace("_input", "_label"))) or ""
        for path in inputs
    }
    for label in labels:
        if found := [path for path, name in names.items() if name.startswith(label)]:
            return found
    return []


def _limit_c(tree: SystemTree, path: Path) -> float | None:
    value = number_or_none(tree, path)
    # Trip points that nobody set are 0 or absurd.
    return value / 1000.0 if value is not None and 40_000 <= value <= 150_000 else None


def _names(paths: list[Path]) -> str:
    return ", ".join(str(path) for path in paths[:3])
