"""The cumulative energy of one source as a function of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeagent.record.energy.invalid import Invalid, code_of, reason_of
from edgeagent.record.energy.windows import Ints, Windows

_ABSURD_NJ = 1e17


@dataclass(frozen=True)
class EnergyCurve:
    """E(t) between the readings of one source: piecewise linear or piecewise quadratic.

    The value of a window is E(end) - E(start) in whole nanojoules, so the energies of adjacent
    windows add up to that of their union exactly. Piece i is the interval between knots i and
    i + 1.

    Attributes:
        t_ns: The knots, rising: times of the readings and of edges; shape `(knots,)`.
        e_nj: Energy at each knot; pieces that are not valid add nothing.
        start_w: Power at the start of each piece, shape `(knots - 1,)`.
        slope_w: What the power gains until the end of the piece; 0 for counters.
        code: 0 for valid pieces, else why not.
        fresh_ns: Times of the readings that count towards resolution, `None` for counters.
        read_ns: Times of a counter's readings, `None` for sampled power.
        half_width_ns: Half of how long each of them took.
        update_ns: Nominal time between two new values of a counter.
        step_nj: Resolution of a counter, 0 if unknown.
    """

    t_ns: Ints
    e_nj: Ints
    start_w: NDArray[np.float64]
    slope_w: NDArray[np.float64]
    code: NDArray[np.int8]
    fresh_ns: Ints | None = None
    read_ns: Ints | None = None
    half_width_ns: Ints | None = None
    update_ns: int = 0
    step_nj: float = 0.0

    def at_nj(self, t_ns: Ints) -> Ints:
        """Return E at moments within the curve, shape as given."""
        piece = np.clip(np.searchsorted(self.t_ns, t_ns, side="right") - 1, 0, len(self.code) - 1)
        into = (t_ns - self.t_ns[piece]).astype(np.float64)
        share = into / (self.t_ns[piece + 1] - self.t_ns[piece])
        part = into * (self.start_w[piece] + 0.5 * self.slope_w[piece] * share)
        return self.e_nj[piece] + np.rint(part).astype(np.int64)

    def windows(self, t0_ns: Ints, t1_ns: Ints) -> Windows:
        """Return the energies of windows.

        Raises:
            ValueError: A window ends before it starts.
        """
        t0_ns, t1_ns = np.asarray(t0_ns, np.int64), np.asarray(t1_ns, np.int64)
        if np.any(t1_ns < t0_ns):
            raise ValueError("a window ends before it starts")
        if len(self.t_ns) < 2:
            return unknown_windows(Invalid.NOT_COVERED, t0_ns, t1_ns)
        code = self._codes(t0_ns, t1_ns)
        inside0 = np.clip(t0_ns, self.t_ns[0], self.t_ns[-1])
        inside1 = np.clip(t1_ns, self.t_ns[0], self.t_ns[-1])
        readings = edge_ns = None
        if self.fresh_ns is not None:
            readings = _count_before(self.fresh_ns, t1_ns) - _count_before(self.fresh_ns, t0_ns)
        if self.read_ns is not None:
            edge_ns = self._distance_ns(self.read_ns, inside0) + self._distance_ns(
                self.read_ns, inside1
            )
        return Windows(
            energy_nj=np.where(code == 0, self.at_nj(inside1) - self.at_nj(inside0), 0),
            code=code,
            duration_ns=t1_ns - t0_ns,
            readings=readings,
            edge_ns=edge_ns,
            step_nj=self.step_nj,
        )

    def holes(self, t0_ns: int, t1_ns: int) -> list[tuple[Invalid, int]]:
        """Return reason and length in ns of every invalid piece that a window touches."""
        bad = np.flatnonzero((self.code != 0) & (self.t_ns[1:] > t0_ns) & (self.t_ns[:-1] < t1_ns))
        found: list[tuple[Invalid, int]] = []
        for piece in bad.tolist():
            reason = reason_of(int(self.code[piece]))
            width_ns = min(int(self.t_ns[piece + 1]), t1_ns) - max(int(self.t_ns[piece]), t0_ns)
            if reason is not None:
                found.append((reason, width_ns))
        return found

    def _codes(self, t0_ns: Ints, t1_ns: Ints) -> NDArray[np.int8]:
        """Return for each window the reason of the first invalid piece that it touches."""
        pieces = len(self.code)
        bad = np.flatnonzero(self.code)
        first = np.searchsorted(self.t_ns, t0_ns, side="right") - 1
        last = np.searchsorted(self.t_ns, t1_ns, side="left") - 1
        at = np.searchsorted(bad, first, side="left")
        # A sentinel behind the last piece stands for "none that is invalid".
        next_bad = np.append(bad, pieces)[at]
        codes = np.append(self.code, np.int8(0))[next_bad]
        touched = np.where(next_bad <= last, codes, 0)
        outside = (t0_ns < self.t_ns[0]) | (t1_ns > self.t_ns[-1])
        return np.where(outside, code_of(Invalid.NOT_COVERED), touched).astype(np.int8)

    def _distance_ns(self, read_ns: Ints, t_ns: Ints) -> Ints:
        """Return by how much moments miss the nearest reading of the counter.

        The time of a reading is known to its width, and its value may be an update old.
        """
        before = np.clip(np.searchsorted(read_ns, t_ns, side="right") - 1, 0, len(read_ns) - 2)
        to_before, to_after = t_ns - read_ns[before], read_ns[before + 1] - t_ns
        distance: Ints = np.minimum(to_before, to_after)
        if self.half_width_ns is not None:
            nearest = np.where(to_before <= to_after, before, before + 1)
            distance = distance + self.half_width_ns[nearest]
        return distance + self.update_ns


def unknown_windows(reason: Invalid, t0_ns: Ints, t1_ns: Ints) -> Windows:
    """Return windows of which nothing is known."""
    nothing = np.zeros(len(t0_ns), np.int64)
    return Windows(
        energy_nj=nothing,
        code=np.full(len(t0_ns), code_of(reason), np.int8),
        duration_ns=t1_ns - t0_ns,
        readings=None,
        edge_ns=None,
        step_nj=0.0,
    )


def mark_absurd(parts_nj: NDArray[np.float64], code: NDArray[np.int8]) -> None:
    """Mark pieces whose energy no integer holds: only damaged files have them."""
    mark(code, np.flatnonzero(~(np.abs(parts_nj) < _ABSURD_NJ)), Invalid.IMPOSSIBLE)


def cumulative(parts_nj: NDArray[np.float64], code: NDArray[np.int8]) -> Ints:
    """Return the energy at each knot from the energies of the pieces; invalid ones add nothing."""
    whole = np.where(code == 0, np.rint(parts_nj), 0).astype(np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(whole)])


def mark(code: NDArray[np.int8], where: Sequence[int] | Ints, reason: Invalid) -> None:
    """Mark pieces as invalid, in place; the first reason stays. Indices outside are ignored."""
    index = np.asarray(where, np.int64)
    index = index[(index >= 0) & (index < len(code))]
    code[index] = np.where(code[index] == 0, code_of(reason), code[index])


def _count_before(sorted_ns: Ints, t_ns: Ints) -> Ints:
    return np.searchsorted(sorted_ns, t_ns, side="left").astype(np.int64)
