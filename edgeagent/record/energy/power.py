"""From sampled power to an energy curve: the trapezoid rule over the real times of the readings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeagent.clock import NS_PER_S
from edgeagent.record.energy.curve import EnergyCurve, cumulative, mark, mark_absurd
from edgeagent.record.energy.edges import Pieces, split_at
from edgeagent.record.energy.invalid import Invalid
from edgeagent.record.energy.readings import Readings, failure_times, plausible
from edgeagent.record.energy.windows import Ints
from edgeagent.record.samples import ReadFailure, Sample, SourceInfo, SourceState

MAX_GAP_INTERVALS = 5.0
"""A hole longer than this many intervals of the source is not bridged. The interval is the nominal
one of the source or the median distance of its readings, whichever is longer."""

_MAX_POWER_W = 1e6
"""Of a source that does not tell; no device that is profiled draws a megawatt."""

_MOST_ALLOWED = 2.0
"""Readings that may follow each other faster than the source gives new values."""


def power_curve(
    info: SourceInfo,
    samples: Sequence[Sample],
    failures: Sequence[ReadFailure] = (),
    edges_ns: Ints | None = None,
) -> EnergyCurve:
    """Return E(t) of a sampled power in watts, which is linear between two readings.

    Negative readings are kept: around zero they are the noise and offset of a sensor, and clamping
    them would add energy. Readings beyond `max_power_w` are impossible and count as failed. What
    lies around a failed reading, and a hole of more than `MAX_GAP_INTERVALS`, is not bridged.

    Args:
        info: The source.
        samples: Its readings.
        failures: Its failed readings.
        edges_ns: Moments at which power may step, such as the edges of spans; without them the
            power at a window's edge is interpolated. See `edgeagent.record.energy.edges`.
    """
    info, readings = plausible(info), Readings.of(samples)
    most_w = _MAX_POWER_W if info.max_power_w is None else info.max_power_w
    possible = np.abs(readings.value) <= most_w
    impossible_ns = readings.t_ns[~possible]
    readings = readings.where(possible)
    t_ns, power_w = readings.t_ns, readings.value
    width_ns = np.diff(t_ns)
    code = np.zeros(len(width_ns), np.int8)
    charged_ns = failure_times(failures, SourceState.NOT_DISCHARGING)
    failed_ns = failure_times(failures, *set(SourceState) - {SourceState.NOT_DISCHARGING})
    for at_ns, reason in (
        (charged_ns, Invalid.NOT_DISCHARGING),
        (failed_ns, Invalid.READ_FAILED),
        (impossible_ns, Invalid.IMPOSSIBLE),
    ):
        mark(code, np.searchsorted(t_ns, at_ns, side="right") - 1, reason)
    if len(width_ns):
        interval_ns = max((info.interval_s or 0.0) * NS_PER_S, float(np.median(width_ns)))
        mark(code, np.flatnonzero(width_ns > MAX_GAP_INTERVALS * interval_ns), Invalid.GAP)
    mark_absurd(width_ns * power_w[:-1], code)
    mark_absurd(width_ns * power_w[1:], code)
    pieces = Pieces(
        t_ns=t_ns,
        start_w=np.where(code == 0, power_w[:-1], 0.0),
        slope_w=np.where(code == 0, np.diff(power_w), 0.0),
        code=code,
    )
    if edges_ns is not None and len(width_ns):
        pieces = split_at(pieces, edges_ns)
    energy_nj = np.diff(pieces.t_ns) * (pieces.start_w + 0.5 * pieces.slope_w)
    return EnergyCurve(
        t_ns=pieces.t_ns,
        e_nj=cumulative(energy_nj, pieces.code),
        start_w=pieces.start_w,
        slope_w=pieces.slope_w,
        code=pieces.code,
        fresh_ns=_fresh(t_ns, info.interval_s or 0.0),
    )


def _fresh(t_ns: Ints, interval_s: float) -> Ints:
    """Return the times of readings that can be new values of a source with this interval.

    Each interval allows one. What is not used may be used a little later, so jitter of the sampler
    costs no readings, and reading a slow source often gains none.
    """
    if interval_s <= 0 or len(t_ns) < 2:
        return t_ns
    interval_ns = interval_s * NS_PER_S
    if int(np.diff(t_ns).min()) >= interval_ns:
        return t_ns
    fresh: list[int] = []
    allowed, last_ns = _MOST_ALLOWED, int(t_ns[0])
    for at_ns in t_ns.tolist():
        allowed = min(_MOST_ALLOWED, allowed + (at_ns - last_ns) / interval_ns)
        last_ns = at_ns
        if allowed >= 1:
            allowed -= 1
            fresh.append(at_ns)
    return np.array(fresh, np.int64)
