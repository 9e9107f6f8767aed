"""Energy of a time window from the readings of cumulative counters: pure functions.

A counter's value at a moment between two readings is interpolated linearly, so the energies of
adjacent windows add up to the energy of their union exactly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from edgeagent.clock import to_seconds
from edgeagent.record.samples import Sample, Scope, SourceInfo, SourceState

MAX_PACKAGE_POWER_W = 1000.0
"""No processor package draws more; bounds how much energy can hide between two readings."""

_UPDATE_S = 0.1
"""Counters move in steps; a step may fall between two readings that are closer together."""


def integrate_counter(
    samples: Sequence[Sample],
    counter_range: float | None,
    t0_ns: int,
    t1_ns: int,
    *,
    max_power_w: float = MAX_PACKAGE_POWER_W,
) -> float | None:
    """Return what a cumulative counter gained between two moments.

    Args:
        samples: Readings of one source in order of time, see `by_source`.
        counter_range: Value at which the counter wraps to zero, `None` if it does not wrap.
        t0_ns: Start of the window on the monotonic clock.
        t1_ns: Its end, not before `t0_ns`.
        max_power_w: Fastest possible growth of the counter per second.

    Returns:
        The gain in the counter's unit, or `None` if the readings do not cover the window, if more
        than one number of wraps fits between two of them, or if none fits (the counter was reset).
    """
    if t1_ns < t0_ns:
        raise ValueError("the window ends before it starts")
    first = bisect_right(samples, t0_ns, key=_time) - 1  # last reading at or before the start
    last = bisect_left(samples, t1_ns, key=_time)  # first reading at or after the end
    if first < 0 or last == len(samples):
        return None
    total = 0.0
    for before, after in pairwise(samples[first : last + 1]):
        width_ns = after.t_ns - before.t_ns
        most = (to_seconds(width_ns) + _UPDATE_S) * max_power_w
        gain = _gain(after.value - before.value, counter_range, most)
        if gain is None:
            return None
        inside_ns = min(after.t_ns, t1_ns) - max(before.t_ns, t0_ns)
        total += gain * inside_ns / width_ns if width_ns else 0.0
    return total


def _time(sample: Sample) -> int:
    return sample.t_ns


def _gain(difference: float, counter_range: float | None, most: float) -> float | None:
    """Return the gain behind a difference of readings, `None` unless exactly one is possible."""
    if counter_range is None:
        return difference if difference >= 0 else None
    if difference < 0:
        difference += counter_range
    another_wrap_fits = difference + counter_range <= most
    return difference if 0 <= difference <= most and not another_wrap_fits else None


def by_source(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Group readings by source, each group in order of time."""
    series: dict[str, list[Sample]] = {}
    for sample in samples:
        series.setdefault(sample.source, []).append(sample)
    for readings in series.values():
        readings.sort(key=_time)
    return series


def cpu_energy_j(
    sources: Iterable[SourceInfo],
    series: Mapping[str, Sequence[Sample]],
    t0_ns: int,
    t1_ns: int,
) -> float | None:
    """Return the energy of all processor packages in a window, in joules.

    Args:
        sources: Every source that was tried, as the sampler recorded them.
        series: Readings of each source in order of time, see `by_source`.
        t0_ns: Start of the window on the monotonic clock.
        t1_ns: Its end.

    Only readings of package scope are added; those of other scopes contain or exclude parts of
    them. `None` if no package is readable or one of them does not cover the window: a sum over
    some of the sockets would look like a measurement of all.
    """
    packages = {
        source.source: source
        for source in sources
        if source.quantity == "energy_j" and source.scope is Scope.PACKAGE
    }
    if not packages or any(info.state is not SourceState.OK for info in packages.values()):
        return None
    total_j = 0.0
    for name, info in packages.items():
        energy_j = integrate_counter(series.get(name, ()), info.counter_range, t0_ns, t1_ns)
        if energy_j is None:
            return None
        total_j += energy_j
    return total_j
