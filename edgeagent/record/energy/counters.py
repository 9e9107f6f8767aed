"""From the readings of a cumulative counter to its energy curve: wraps undone, resets marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeagent.clock import NS_PER_S
from edgeagent.record.energy.curve import EnergyCurve, cumulative, mark, mark_absurd
from edgeagent.record.energy.edges import Pieces, split_counted
from edgeagent.record.energy.invalid import Invalid, code_of
from edgeagent.record.energy.readings import Readings, failure_times, plausible
from edgeagent.record.energy.windows import Ints
from edgeagent.record.samples import ReadFailure, Sample, SourceInfo, SourceState

MAX_POWER_W = 1000.0
"""Assumed of a counter that wraps and does not tell its maximum: no processor package draws
more. It bounds how much energy can hide between two readings."""

_UPDATE_S = 0.1
"""Counters move in steps; a step may fall between two readings that are closer together."""

_LEAST_INTERVAL_S = 0.001
"""RAPL, the fastest energy counter that is known, moves about once a millisecond; what is read at
the edge of a span may be that old."""

_MAX_ROUNDS = 16


def counter_curve(
    info: SourceInfo,
    samples: Sequence[Sample],
    failures: Sequence[ReadFailure] = (),
    edges_ns: Ints | None = None,
) -> EnergyCurve:
    """Return E(t) of a counter in joules; between two readings it rises linearly.

    A reading that failed between two good ones does no harm, because the counter went on; only a
    source that vanished or a battery that was charged may have left its count. Readings outside
    the counter's range are taken as failed.

    An interval is invalid if the counter fell and no wrap explains it (a reset), if it rose more
    than `max_power_w` allows, or if more than one number of wraps fits.

    Args:
        info: The source.
        samples: Its readings.
        failures: Its failed readings.
        edges_ns: Moments at which power may step; without them, or where readings lie at the
            edges, nothing changes. See `edgeagent.record.energy.edges`.
    """
    info, readings = plausible(info), Readings.of(samples)
    possible = readings.value >= 0
    if info.counter_range is not None:
        possible &= readings.value <= info.counter_range
    readings = _in_order(readings.where(possible), info)
    t_ns = readings.t_ns
    gain_j, code = _gains(readings.value, t_ns, info)
    mark(code, _pieces(t_ns, failure_times(failures, SourceState.ABSENT)), Invalid.READ_FAILED)
    charged_ns = failure_times(failures, SourceState.NOT_DISCHARGING)
    mark(code, _pieces(t_ns, charged_ns), Invalid.NOT_DISCHARGING)
    mark_absurd(gain_j * NS_PER_S, code)
    gain_nj = np.where(code == 0, gain_j * NS_PER_S, 0.0)
    pieces = Pieces(t_ns, gain_nj / np.diff(t_ns), np.zeros(len(code)), code)
    if edges_ns is not None and len(code):
        pieces = split_counted(pieces, edges_ns)
    return EnergyCurve(
        t_ns=pieces.t_ns,
        e_nj=cumulative(np.diff(pieces.t_ns) * pieces.start_w, pieces.code),
        start_w=pieces.start_w,
        slope_w=pieces.slope_w,
        code=pieces.code,
        read_ns=t_ns,
        half_width_ns=readings.width_ns // 2,
        update_ns=round(max(info.interval_s or 0.0, _LEAST_INTERVAL_S) * NS_PER_S),
        step_nj=(info.resolution or 0.0) * NS_PER_S,
    )


def _gains(
    value: NDArray[np.float64], t_ns: Ints, info: SourceInfo
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return the gain of each piece and its code."""
    gain = np.diff(value)
    fell = gain < 0
    code = np.zeros(len(gain), np.int8)
    if info.counter_range is None:
        mark(code, np.flatnonzero(fell), Invalid.RESET)
        if info.max_power_w is not None:
            most = _most_j(t_ns, info.max_power_w, info)
            mark(code, np.flatnonzero(gain > most), Invalid.IMPOSSIBLE)
    else:
        gain = np.where(fell, gain + info.counter_range, gain)
        most = _most_j(t_ns, info.max_power_w or MAX_POWER_W, info)
        mark(code, np.flatnonzero(fell & ((gain > most) | (gain < 0))), Invalid.RESET)
        mark(code, np.flatnonzero(gain > most), Invalid.IMPOSSIBLE)
        mark(code, np.flatnonzero(gain + info.counter_range <= most), Invalid.WRAPS)
    # A single low reading looks like a reset whose count then catches up: nobody knows which.
    reset = np.flatnonzero(code[:-1] == code_of(Invalid.RESET))
    caught_up = reset[value[reset + 2] >= value[reset]]
    mark(code, caught_up + 1, Invalid.RESET)
    return gain, code


def _most_j(t_ns: Ints, max_power_w: float, info: SourceInfo) -> NDArray[np.float64]:
    """Return the largest possible gain of each piece."""
    slack_s = max(_UPDATE_S, info.interval_s or 0.0)
    return (np.diff(t_ns) / NS_PER_S + slack_s) * max_power_w + 2 * (info.resolution or 0.0)


def _in_order(readings: Readings, info: SourceInfo) -> Readings:
    """Drop readings that overlap in time and fall by no more than that explains.

    The sampler and the measured process read the same counters. The value is from some moment of
    a read, so the midpoints of two reads that overlap may be in the wrong order.
    """
    power_w = info.max_power_w or MAX_POWER_W
    for _ in range(_MAX_ROUNDS):
        overlap_ns = (readings.width_ns[1:] + readings.width_ns[:-1]) // 2
        fall = -np.diff(readings.value)
        explained = 2 * overlap_ns / NS_PER_S * power_w + 2 * (info.resolution or 0.0)
        crossed = np.flatnonzero(
            (fall > 0) & (np.diff(readings.t_ns) <= overlap_ns) & (fall <= explained)
        )
        if len(crossed) == 0:
            break
        wider = readings.width_ns[crossed] > readings.width_ns[crossed + 1]
        keep = np.ones(len(readings.t_ns), np.bool_)
        keep[np.where(wider, crossed, crossed + 1)] = False
        readings = readings.where(keep)
    return readings


def _pieces(t_ns: Ints, at_ns: Ints) -> Ints:
    """Return the index of the piece that each moment is in, -1 before the first."""
    return np.searchsorted(t_ns, at_ns, side="right").astype(np.int64) - 1
