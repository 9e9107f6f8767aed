"""Splitting sampled power at moments where it is known to change.

Where one phase ends and another begins, power steps. Interpolating across the step would hand up to
half a sampling interval of the difference to the wrong phase, always from the higher to the lower
one. So an interval between two readings that contains such an edge is split there, and each side
follows the trend of its own readings. For a step and for a straight ramp this is exact.
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
    inside = np.unique(edges_ns)
    inside = inside[(inside > pieces.t_ns[0]) & (inside < pieces.t_ns[-1])]
    holder = np.searchsorted(pieces.t_ns, inside, side="right") - 1
    usable = (pieces.code[holder] == 0) & (inside > pieces.t_ns[holder])
    inside, holder = inside[usable], holder[usable]
    if len(inside) == 0:
        return pieces
    which, first = np.unique(holder, return_index=True)
    last = np.append(first[1:], len(inside)) - 1
    x1_ns, x2_ns = inside[first], inside[last]
    a_ns, b_ns = pieces.t_ns[which], pieces.t_ns[which + 1]
    at_a = pieces.start_w[which]
    at_b = at_a + pieces.slope_w[which]
    trend = _trend(pieces, which)
    at_x1 = at_a + np.append(0.0, trend)[which] * (x1_ns - a_ns)
    at_x2 = at_b - np.append(trend[1:], 0.0)[which] * (b_ns - x2_ns)
    order = np.argsort(
        np.concatenate([pieces.t_ns[:-1], x1_ns, x2_ns]), kind="stable"
    )  # of equal x1 and x2 the first stays empty and is dropped
    start_w = np.concatenate([pieces.start_w, at_x1, at_x2])
    slope_w = np.concatenate([pieces.slope_w, at_x2 - at_x1, at_b - at_x2])
    slope_w[which] = at_x1 - at_a
    code = np.concatenate([pieces.code, np.zeros(2 * len(which), np.int8)])
    t_ns = np.append(np.concatenate([pieces.t_ns[:-1], x1_ns, x2_ns])[order], pieces.t_ns[-1])
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
