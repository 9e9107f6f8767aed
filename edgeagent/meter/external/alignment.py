"""Finding the clock of an external meter: where in its recording are the load pulses of a run?

The pulses are compared with every place of the recording by normalised cross-correlation, which
knows neither the device's idle power nor the height of a pulse. Two groups of pulses, at the start
and at the end of a run, give offset and rate of the meter's clock; they are looked for together.
The places found are then refined between the readings by least squares, which also tells how
certain they are. A meter that averages or delays is no problem: what shifts the pulses shifts
everything else alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeagent.errors import ConfigError
from edgeagent.meter.external.correlation import Floats, correlate, on_grid

MIN_CORRELATION = 0.7
"""Pulses twice as high as the standard deviation of the noise around them still reach it."""

MIN_CORRELATION_ALONE = 0.85
"""One group of pulses alone is more easily mistaken for something else."""

MIN_LEAD = 0.12
"""How much worse the second-best place must be."""

MAX_SKEW = 0.002
"""Meters without a crystal are wrong by up to one part in a thousand."""

UNKNOWN_SKEW = 100e-6
"""What a crystal may be off, where only one group of pulses tells about the meter's clock."""

MAX_INTERVAL_S = 1.25
"""The shortest part of the pattern lasts a second."""

_GRID_S = (0.05, 0.3)
_SEPARATE_S = 0.75
"""Peaks closer together than this are the same place."""

_REACH = 3
"""Grid steps around a place that are searched again, more finely."""

_EDGE_S = 0.005
"""Threads and power supplies need some milliseconds to follow an edge."""

_MAX_PEAKS = 50
_SLACK_S = 0.5


@dataclass(frozen=True, slots=True)
class PulseGroup:
    """A known pattern of load on the clock of the run, in seconds.

    Attributes:
        t0_s: When its first quiet began.
        t1_s: When its last quiet ended.
        busy: Start and end of each pulse, in order of time.
    """

    t0_s: float
    t1_s: float
    busy: tuple[tuple[float, float], ...]

    def load(self, t_s: Floats, width_s: float) -> Floats:
        """Return the busy share of the time `width_s` around each moment, `(n,) float64`."""
        edges = np.array([self.t0_s, *(edge for pulse in self.busy for edge in pulse)])
        busy_s = np.array([0.0, *(end - start for start, end in self.busy)])
        # Busy time since the start, at each edge: constant in quiet, rising in a pulse.
        since_s = np.repeat(np.cumsum(busy_s), 2)[: len(edges)]
        before, after = (
            np.interp(t_s + sign * width_s / 2, edges, since_s) for sign in (-1.0, 1.0)
        )
        return np.asarray((after - before) / width_s, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Alignment:
    """The meter's clock: moment `t` of its recording is `offset_s + scale * t` of the run.

    Attributes:
        offset_s: Moment of the run at which the meter's time is 0.
        scale: Seconds of the run per second of the meter.
        skew_known: Whether the scale was found; it is 1 otherwise.
        uncertainty_s: How far off the pulses may be, at about 99 %.
        correlation: Mean over the groups that were found.
        groups: Indices of these groups.
    """

    offset_s: float
    scale: float
    skew_known: bool
    uncertainty_s: float
    correlation: float
    groups: tuple[int, ...]

    def to_run_s(self, t_s: Floats) -> Floats:
        """Convert moments of the meter to the clock of the run."""
        return self.offset_s + self.scale * t_s

    def uncertainty_at_s(self, distance_s: float) -> float:
        """Return the uncertainty of a moment this far away from the pulses that were found."""
        return self.uncertainty_s + (0.0 if self.skew_known else UNKNOWN_SKEW * distance_s)


def align(t_s: Floats, power_w: Floats, groups: Sequence[PulseGroup]) -> Alignment:
    """Find where a recording shows the pulses of a run.

    Args:
        t_s: Times of the meter, `(n,) float64`, strictly rising.
        power_w: Its readings, `(n,) float64`.
        groups: One or two groups of pulses in order of time.

    Raises:
        ConfigError: The pulses are not there, are there more than once, or the recording is too
            coarse.
    """
    interval_s = float(np.median(np.diff(t_s)))
    if interval_s > MAX_INTERVAL_S:
        raise ConfigError(
            f"The recording has a reading every {interval_s:.3g} s, too few to find pulses of one "
            "second; let the meter record at least one reading per second."
        )
    curves = [_Curve.of(t_s, power_w, group, interval_s) for group in groups]
    place = _best_place(curves)
    found = [
        (index, _refine((t_s, power_w), groups[index], at_s, curves[index].step_s, interval_s))
        for index, at_s in enumerate(place.at_s)
        if at_s is not None
    ]
    uncertainty_s = max(fit.uncertainty_s for _, fit in found)
    first, last = found[0], found[-1]
    scale = 1.0
    if len(found) > 1:
        scale = (groups[last[0]].t0_s - groups[first[0]].t0_s) / (last[1].at_s - first[1].at_s)
    return Alignment(
        offset_s=groups[first[0]].t0_s - scale * first[1].at_s,
        scale=scale,
        skew_known=len(found) > 1,
        uncertainty_s=uncertainty_s,
        correlation=place.score,
        groups=tuple(index for index, _ in found),
    )


@dataclass(frozen=True, slots=True)
class _Curve:
    """Correlation of a recording with one group, by the meter's time of the group's start."""

    group: PulseGroup
    first_s: float
    step_s: float
    correlation: Floats

    @classmethod
    def of(cls, t_s: Floats, power_w: Floats, group: PulseGroup, interval_s: float) -> _Curve:
        step_s = min(max(interval_s / 4, _GRID_S[0]), _GRID_S[1])
        values, valid = on_grid(t_s, power_w, step_s, interval_s)
        length = math.floor((group.t1_s - group.t0_s) / step_s) + 1
        moments = group.t0_s + step_s * np.arange(length, dtype=np.float64)
        pattern = group.load(moments, max(interval_s, step_s))
        return cls(group, float(t_s[0]), step_s, correlate(values, valid, pattern))

    def peaks(self) -> list[tuple[float, float]]:
        """Return correlation and time of the best places, best first."""
        left = self.correlation.copy()
        apart = max(1, round(_SEPARATE_S / self.step_s))
        peaks: list[tuple[float, float]] = []
        while len(peaks) < _MAX_PEAKS and len(left):
            best = int(np.argmax(left))
            if left[best] < MIN_CORRELATION / 2:
                break
            peaks.append((float(left[best]), self.first_s + best * self.step_s))
            left[max(0, best - apart) : best + apart + 1] = -1.0
        return peaks

    def best_within(self, from_s: float, to_s: float) -> tuple[float, float] | None:
        """Return correlation and time of the best place in a window, `None` outside the file."""
        first = max(0, math.ceil((from_s - self.first_s) / self.step_s))
        last = min(len(self.correlation) - 1, math.floor((to_s - self.first_s) / self.step_s))
        if first > last:
            return None
        best = first + int(np.argmax(self.correlation[first : last + 1]))
        if self.correlation[best] <= -1.0:
            return None  # too few readings there
        return float(self.correlation[best]), self.first_s + best * self.step_s


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the groups may be: the meter's time of each, `None` outside the recording."""

    score: float
    at_s: tuple[float | None, ...]


def _best_place(curves: Sequence[_Curve]) -> _Place:
    """Return the one place that fits; raises `ConfigError` if there is none or more than one."""
    places = [place for anchor in range(len(curves)) for place in _places(curves, anchor)]
    complete = [place for place in places if None not in place.at_s]
    partial = [place for place in places if None in place.at_s]
    for candidates, needed in (
        (complete, MIN_CORRELATION if len(curves) > 1 else MIN_CORRELATION_ALONE),
        (partial, MIN_CORRELATION_ALONE),
    ):
        best = max(candidates, key=lambda place: place.score, default=None)
        if best is None or best.score < needed:
            continue
        rivals = [place.score for place in candidates if _differs(place, best)]
        if max(rivals, default=0.0) > best.score - MIN_LEAD:
            raise ConfigError(
                "The load pulses of the run fit more than one place of the recording; record only "
                "this run, with the device's load at rest around the pulses."
            )
        return best
    reached = max((place.score for place in places), default=0.0)
    raise ConfigError(
        "The recording does not show the load pulses of the run (best correlation "
        f"{reached:.2f}); check that it is of this device and covers the run from start to end."
    )


def _places(curves: Sequence[_Curve], anchor: int) -> list[_Place]:
    """Return places by the peaks of one group, with the others where they must be then."""
    places = []
    for correlation, at_s in curves[anchor].peaks():
        scores = [correlation]
        found: list[float | None] = [None] * len(curves)
        found[anchor] = at_s
        for index, curve in enumerate(curves):
            if index == anchor:
                continue
            distance_s = curve.group.t0_s - curves[anchor].group.t0_s
            slack_s = _SLACK_S + MAX_SKEW * abs(distance_s)
            expected_s = at_s + distance_s
            other = curve.best_within(expected_s - slack_s, expected_s + slack_s)
            if other is not None:
                scores.append(other[0])
                found[index] = other[1]
        places.append(_Place(sum(scores) / len(scores), tuple(found)))
    return places


def _differs(one: _Place, other: _Place) -> bool:
    """Whether the two put a group to different times, or have no group in common."""
    shared = [
        (a, b) for a, b in zip(one.at_s, other.at_s, strict=True) if a is not None and b is not None
    ]
    return not shared or any(abs(a - b) > _SEPARATE_S for a, b in shared)


@dataclass(frozen=True, slots=True)
class _Fit:
    at_s: float
    uncertainty_s: float


def _refine(
    recording: tuple[Floats, Floats],
    group: PulseGroup,
    at_s: float,
    step_s: float,
    interval_s: float,
) -> _Fit:
    """Shift the group by fractions of a reading until base and height of its pulses fit best."""
    t_s, power_w = recording
    length_s = group.t1_s - group.t0_s
    inside = (t_s >= at_s - _REACH * step_s) & (t_s <= at_s + length_s + _REACH * step_s)
    times, values = t_s[inside], power_w[inside]

    def misfit(start_s: float) -> float:
        load = group.load(times - start_s + group.t0_s, interval_s)
        load = load - load.mean()
        centred = values - values.mean()
        power = float(load @ load)
        return float(centred @ centred) - (float(centred @ load) ** 2 / power if power else 0.0)

    shifts = np.linspace(-_REACH * step_s, _REACH * step_s, 241)
    misfits = np.array([misfit(at_s + shift) for shift in shifts])
    best = int(np.argmin(misfits))
    noise = max(0.0, float(misfits[best])) / max(1, len(times) - 3)
    # Every shift that four standard deviations of the noise can make look best (a likelihood
    # ratio: the misfit has edges, so its curvature would promise too much).
    likely = shifts[misfits <= misfits[best] + 16 * noise]
    spread_s = float(np.abs(likely - shifts[best]).max())
    # A reading's own averaging time is not known, which matters where pulses meet few readings.
    uncertainty_s = math.hypot(spread_s, interval_s / 10, _EDGE_S)
    return _Fit(at_s + float(shifts[best]), uncertainty_s)
