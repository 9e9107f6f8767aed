"""From sampled power to an energy curve: the trapezoid rule over the real times of the readings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeagent.clock import NS_PER_S
from edgeagent.record.energy.curve import EnergyCurve, cumulative, mark
from edgeagent.record.energy.invalid import Invalid
from edgeagent.record.energy.readings import Readings, failure_times
from edgeagent.record.energy.windows import Ints
from edgeagent.record.samples import ReadFailure, Sample, SourceInfo, SourceState

MAX_GAP_INTERVALS = 5.0
"""A hole longer than this many intervals of the source is not bridged. The interval is the nominal
one of the source or the median distance of its readings, whichever is longer."""

_FRESH_SHARE = 0.9
"""Share of the nominal interval after which a reading counts as a new one, because of jitter."""


def power_curve(
    info: SourceInfo, samples: Sequence[Sample], failures: Sequence[ReadFailure] = ()
) -> EnergyCurve:
    """Return E(t) of a sampled power in watts, linear between two readings.

    Negative readings are kept: around zero they are the noise and offset of a sensor, and clamping
    them would add energy. Readings beyond `max_power_w` are impossible and count as failed. What
    lies around a failed reading, and a hole of more than `MAX_GAP_INTERVALS`, is not bridged.
    """
    readings = Readings.of(samples)
    impossible_ns = readings.t_ns[:0]
    if info.max_power_w is not None:
        possible = np.abs(readings.value) <= info.max_power_w
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
    start_w = np.where(code == 0, power_w[:-1], 0.0)
    slope_w = np.where(code == 0, np.diff(power_w), 0.0)
    return EnergyCurve(
        t_ns=t_ns,
        e_nj=cumulative(width_ns * (start_w + 0.5 * slope_w), code),
        start_w=start_w,
        slope_w=slope_w,
        code=code,
        fresh_ns=_fresh(t_ns, info.interval_s),
    )


def _fresh(t_ns: Ints, interval_s: float | None) -> Ints:
    """Return the times of readings that can be new values of a source with this interval."""
    if interval_s is None or len(t_ns) < 2:
        return t_ns
    least_ns = round(_FRESH_SHARE * interval_s * NS_PER_S)
    if int(np.diff(t_ns).min()) >= least_ns:
        return t_ns
    fresh, last_ns = [], None
    for at_ns in t_ns.tolist():
        if last_ns is None or at_ns - last_ns >= least_ns:
            fresh.append(at_ns)
            last_ns = at_ns
    return np.array(fresh, np.int64)
