"""Sources of readings as a person looks at them: in groups, with what they show right now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgeagent.cli.text import human_bytes
from edgeagent.clock import to_seconds
from edgeagent.meter.protocol import Meter, MeterError
from edgeagent.record.samples import Sample, SampleKind, SourceInfo, SourceState

ENERGY, HEAT, MEMORY, LOAD = "Energy and power", "Heat and clocks", "Memory", "Load"

_GROUPS = {
    "_j": ENERGY,
    "_w": ENERGY,
    "_bytes": MEMORY,
    "_c": HEAT,
    "_hz": HEAT,
    "_events": HEAT,
    "_state": HEAT,
}
"""By the unit at the end of a source's quantity; anything else tells who uses the processor."""


@dataclass(frozen=True, slots=True)
class SourceReading:
    """What a source shows now.

    Attributes:
        source: Its name.
        quantity: What the value is; `power_w` also for a counter of energy, whose mean power it is.
        value: In the unit of `quantity`.
        over_s: Time that a mean is over, `None` for an instantaneous value.
    """

    source: str
    quantity: str
    value: float
    over_s: float | None = None


def in_groups(sources: Iterable[SourceInfo]) -> dict[str, list[SourceInfo]]:
    """Return the sources of each group, energy first; groups without a source are left out."""
    groups: dict[str, list[SourceInfo]] = {name: [] for name in (ENERGY, HEAT, MEMORY, LOAD)}
    for info in sources:
        groups[_group(info)].append(info)
    return {name: found for name, found in groups.items() if found}


def _group(info: SourceInfo) -> str:
    if info.source.startswith("throttle:"):
        return HEAT
    return next((name for end, name in _GROUPS.items() if info.quantity.endswith(end)), LOAD)


def read_all(meters: Iterable[Meter]) -> list[Sample]:
    """Read every meter once; those that give nothing this time are left out."""
    samples = []
    for meter in meters:
        try:
            samples.append(meter.read())
        except MeterError:
            continue
    return samples


def readings(meters: Iterable[Meter], samples: Sequence[Sample]) -> tuple[SourceReading, ...]:
    """Return what meters show, from samples of them in order of time.

    A counter of energy needs two samples, and shows the mean power between the first and the last;
    of other counters only differences mean something to somebody, so they are left out.
    """
    by_source: dict[str, list[Sample]] = {}
    for sample in samples:
        by_source.setdefault(sample.source, []).append(sample)
    found = []
    for meter in meters:
        series = by_source.get(meter.info.source, [])
        if meter.info.kind is not SampleKind.COUNTER and series:
            value = series[-1].value
            found.append(SourceReading(meter.info.source, meter.info.quantity, value))
        elif meter.info.quantity == "energy_j" and len(series) > 1:
            over_s = to_seconds(series[-1].t_ns - series[0].t_ns)
            gained_j = _gained(series, meter.info.counter_range)
            if gained_j is not None and over_s > 0:
                power_w = gained_j / over_s
                found.append(SourceReading(meter.info.source, "power_w", power_w, over_s))
    return tuple(found)


def _gained(series: Sequence[Sample], counter_range: float | None) -> float | None:
    """Return what a counter gained, one wrap between two samples undone; `None` for a reset."""
    total = 0.0
    for before, after in pairwise(series):
        gained = after.value - before.value
        if gained < 0:
            if counter_range is None:
                return None
            gained += counter_range
        total += gained
    return total


def source_row(info: SourceInfo, shown: Mapping[str, SourceReading]) -> tuple[str, str, str]:
    """Return name, state and note of a source: what it shows, or why it does not and a remedy."""
    if info.state is not SourceState.OK:
        return info.source, info.state.value, " ".join((info.reason, info.remedy)).strip()
    reading = shown.get(info.source)
    parts = [] if reading is None else [human_reading(reading)]
    if _group(info) == ENERGY:
        parts.append(f"{info.scope.value}, {info.kind.value}")
        parts.append(f"adds up to {info.total}" if info.total else "stands alone")
    return info.source, info.state.value, "; ".join(parts)


def human_reading(reading: SourceReading) -> str:
    """Return a value with its unit."""
    value, quantity = reading.value, reading.quantity
    if quantity.endswith("_bytes"):
        return human_bytes(value)
    scaled = {
        "_w": (1.0, "W", 2),
        "_c": (1.0, "°C", 1),
        "_hz": (1e-9, "GHz", 2),
        "_j": (1.0, "J", 1),
        "_s": (1.0, "s", 2),
    }
    for end, (factor, unit, digits) in scaled.items():
        if quantity.endswith(end):
            mean = "" if reading.over_s is None else f" on average over {reading.over_s:.1f} s"
            return f"{value * factor:.{digits}f} {unit}{mean}"
    return f"{value:g}"
