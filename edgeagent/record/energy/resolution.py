"""When readings are too coarse for a window, and pooling of windows that are.

A figure that the readings cannot resolve is not given, however plausible the interpolated one
looks: between two readings of a power nobody knows what it was, and a counter that moved by two
steps tells no third digit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeagent.clock import NS_PER_S

MIN_READINGS = 10
"""Readings of a sampled power that a window, or a pool of windows, must contain."""

MAX_EDGE_SHARE = 0.1
"""Largest share of a window that may lie between its edges and the counter readings next to
them."""

MIN_STEPS = 10
"""Steps of its resolution that a counter must gain."""

INSUFFICIENT = "insufficient_resolution"


@dataclass(frozen=True, slots=True)
class Pool:
    """Energy of one window or of several equal ones, and how well the readings resolve it.

    Attributes:
        windows: How many.
        energy_nj: Their energy in nanojoules.
        duration_ns: Their length.
        readings: Readings of sampled power in them, `None` if only counters were read.
        edge_ns: By how much their edges miss the counter's readings, `None` without a counter.
        step_nj: Resolution of the energy of one window, 0 if unknown.
    """

    windows: int = 0
    energy_nj: int = 0
    duration_ns: int = 0
    readings: int | None = None
    edge_ns: int | None = None
    step_nj: float = 0.0

    def __add__(self, other: Pool) -> Pool:
        """Return the pool of all windows of both."""
        if self.windows == 0 or other.windows == 0:
            return other if self.windows == 0 else self
        return Pool(
            windows=self.windows + other.windows,
            energy_nj=self.energy_nj + other.energy_nj,
            duration_ns=self.duration_ns + other.duration_ns,
            readings=_sum(self.readings, other.readings),
            edge_ns=_sum(self.edge_ns, other.edge_ns),
            step_nj=max(self.step_nj, other.step_nj),
        )

    @property
    def is_resolved(self) -> bool:
        """Whether the readings resolve the energy.

        Sampled power: at least `MIN_READINGS` readings, and one per window on average, because a
        window shorter than the distance of two readings has the power of its neighbours. Counters:
        edges within `MAX_EDGE_SHARE` of the length, and a gain of at least `MIN_STEPS` steps; the
        rounding errors of n windows add up to about the square root of n of them.
        """
        if self.windows == 0 or self.duration_ns == 0:
            return False
        if self.readings is not None and self.readings < max(MIN_READINGS, self.windows):
            return False
        if self.edge_ns is not None:
            if self.edge_ns > MAX_EDGE_SHARE * self.duration_ns:
                return False
            return abs(self.energy_nj) >= MIN_STEPS * self.step_nj * math.sqrt(self.windows)
        return True

    @property
    def energy_j(self) -> float | None:
        """Energy in joules, `None` if the readings do not resolve it."""
        return self.joules if self.is_resolved else None

    @property
    def joules(self) -> float:
        """Energy in joules, whether resolved or not: for sums that are checked themselves."""
        return self.energy_nj / NS_PER_S

    @property
    def power_w(self) -> float | None:
        """Mean power in watts, `None` if the readings do not resolve it."""
        return self.energy_nj / self.duration_ns if self.is_resolved else None


def _sum(first: int | None, second: int | None) -> int | None:
    """Add counts of sessions; a session without this kind of reading adds nothing to it."""
    if first is None:
        return second
    return first if second is None else first + second
