"""Splitting the interval between two readings at moments where power is known to change.

Where one phase ends and another begins, power steps. Interpolating across the step would hand up to
half a sampling interval of the difference to the wrong phase, always from the higher to the lower
one. So an interval between two readings that contains such an edge is split there, and each side
follows the readings of its own side. For a step this is exact, for sampled power also for a ramp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeagent.record.energy.windows import Ints

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Power between consecutive knots; arrays of shape `(pieces,)`, `t_ns` has one more.

    Attributes:
        t_ns: The knots, rising.
        start_w: Power at the start of each piece.
        slope_w: What it gains until the end of the piece.
        code: 0 for valid pieces, else why not.
    """

    t_ns: Ints
    start_w: Floats
    slope_w: Floats
    code: NDArray[np.int8]


def split_at(pieces: Pieces, edges_ns: Ints) -> Pieces:
    """Split the valid pieces that contain edges at the first and at the last of them.

    Before the first edge the power goes on as in the piece before, behind the last edge as in the
    piece after; a neighbour that is not valid or contains edges itself tells no trend, and the
    power is constant. Between the two it is interpolated.

    Args:
        pieces: The trapezoids between the readings.
        edges_ns: Moments at which power may step, in any order.
    """
    which, x1_ns, x2_ns = _first_and_last(pieces, edges_ns)
    if len(which) == 0:
        return pieces
    a_ns, b_ns = pieces.t_ns[which], pieces.t_ns[which + 1]
    at_a = pieces.start_w[which]
    at_b = at_a + pieces.slope_w[which]
    trend = _trend(pieces, which)
    at_x1 = at_a + np.append(0.0, trend)[which] * (x1_ns - a_ns)
    at_x2 = at_b - np.append(trend[1:], 0.0)[which] * (b_ns - x2_ns)
    start_w = np.concatenate([pieces.start_w, at_x1, at_x2])
    slope_w = np.concatenate([pieces.slope_w, at_x2 - at_x1, at_b - at_x2])
    slope_w[which] = at_x1 - at_a
    return _with_knots(pieces, x1_ns, x2_ns, start_w, slope_w)


def split_counted(pieces: Pieces, edges_ns: Ints) -> Pieces:
    """Split the intervals between counter readings, whose mean power is known, in the same way.

    What the counter gained is shared out in the proportion that the mean powers of the pieces
    before and after predict; so it stays what it was. Where a neighbour tells nothing, is much
    shorter or contains edges itself, the gain is spread evenly.
    """
    which, x1_ns, x2_ns = _first_and_last(pieces, edges_ns)
    width_ns = np.diff(pieces.t_ns)
    tells = (pieces.code == 0) & (pieces.start_w > 0)
    tells[which] = False
    before, after = which - 1, np.minimum(which + 1, len(width_ns) - 1)
    least_ns = width_ns[which] // 2
    usable = (before >= 0) & tells[before] & tells[after]
    usable &= (width_ns[before] >= least_ns) & (width_ns[after] >= least_ns)
    which, x1_ns, x2_ns = which[usable], x1_ns[usable], x2_ns[usable]
    if len(which) == 0:
        return pieces
    left_w, right_w = pieces.start_w[which - 1], pieces.start_w[which + 1]
    middle_w = (left_w + right_w) / 2
    a_ns, b_ns = pieces.t_ns[which], pieces.t_ns[which + 1]
    predicted = left_w * (x1_ns - a_ns) + middle_w * (x2_ns - x1_ns) + right_w * (b_ns - x2_ns)
    factor = pieces.start_w[which] * (b_ns - a_ns) / predicted
    start_w = np.concatenate([pieces.start_w, middle_w * factor, right_w * factor])
    start_w[which] = left_w * factor
    return _with_knots(pieces, x1_ns, x2_ns, start_w, np.zeros(len(start_w)))


def _first_and_last(pieces: Pieces, edges_ns: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the valid pieces with edges inside, and the first and the last edge of each."""
    inside = np.unique(edges_ns)
    inside = inside[(inside > pieces.t_ns[0]) & (inside < pieces.t_ns[-1])]
    holder = np.searchsorted(pieces.t_ns, inside, side="right") - 1
    usable = (pieces.code[holder] == 0) & (inside > pieces.t_ns[holder])
    inside, holder = inside[usable], holder[usable]
    which, first = np.unique(holder, return_index=True)
    last = np.append(first[1:], len(inside)) - 1 if len(which) else first
    return which, inside[first], inside[last]


def _with_knots(
    pieces: Pieces, x1_ns: Ints, x2_ns: Ints, start_w: Floats, slope_w: Floats
) -> Pieces:
    """Put pieces that start at `x1_ns` and `x2_ns`, the last of the arrays, into their places."""
    starts_ns = np.concatenate([pieces.t_ns[:-1], x1_ns, x2_ns])
    code = np.concatenate([pieces.code, np.zeros(2 * len(x1_ns), np.int8)])
    # Of equal x1 and x2 the first stays empty and is dropped.
    order = np.argsort(starts_ns, kind="stable")
    t_ns = np.append(starts_ns[order], pieces.t_ns[-1])
    keep = np.diff(t_ns) > 0
    order = order[keep]
    return Pieces(
        t_ns=np.append(t_ns[:-1][keep], t_ns[-1]),
        start_w=start_w[order],
        slope_w=slope_w[order],
        code=code[order],
    )


def _trend(pieces: Pieces, with_edges: Ints) -> Floats:
    """Return watts per ns within each piece, 0 where it tells no trend."""
    trend = pieces.slope_w / np.diff(pieces.t_ns)
    trend[pieces.code != 0] = 0.0
    trend[with_edges] = 0.0
    return trend
