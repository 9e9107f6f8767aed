"""Ratios between two runs with intervals that know about drifting machines.

Times of one run are not independent: a neighbour, heat or another program slows many task runs in a
row. So they are averaged over blocks of consecutive task runs, and the interval comes from the
spread of the blocks. What differs between two runs as a whole shows in no block; the reference load
(`edgeagent.record.reference`) measures that part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.record.student import t975

MIN_BLOCKS = 6
"""Fewer say too little about how the machine drifts."""
_MAX_BLOCKS = 30
_PAIRS_PER_BLOCK = 4


@dataclass(frozen=True, slots=True)
class LogShift:
    """A difference of logarithms, so a ratio.

    Attributes:
        mean: The difference; its exponential is the ratio.
        error: Its standard error.
        degrees: Degrees of freedom of the error.
    """

    mean: float
    error: float
    degrees: float

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval."""
        return t975(self.degrees) * self.error

    def without(self, other: LogShift) -> LogShift:
        """Return what remains when another, independent shift is taken out."""
        error = math.hypot(self.error, other.error)
        if error == 0:
            return LogShift(self.mean - other.mean, 0.0, min(self.degrees, other.degrees))
        # Welch and Satterthwaite; see any textbook on the difference of two means.
        parts = self.error**4 / self.degrees + other.error**4 / other.degrees
        return LogShift(self.mean - other.mean, error, max(1.0, error**4 / parts))


def paired_shift(differences: Sequence[float]) -> LogShift | None:
    """Return the mean of paired differences with an error that knows about drift.

    Args:
        differences: Logarithm of a figure in one run less that in the other, one per pair of task
            runs, in the order in which they were run.

    Returns:
        `None` for too few pairs to make `MIN_BLOCKS` blocks.
    """
    blocks = min(_MAX_BLOCKS, len(differences) // _PAIRS_PER_BLOCK)
    if blocks < MIN_BLOCKS:
        blocks = min(MIN_BLOCKS, len(differences))
    if blocks < MIN_BLOCKS:
        return None
    edges = [round(index * len(differences) / blocks) for index in range(blocks + 1)]
    means = [_mean(differences[edges[index] : edges[index + 1]]) for index in range(blocks)]
    mean = _mean(differences)
    return LogShift(mean, _error(means), blocks - 1)


def unpaired_shift(values: Sequence[float], reference: Sequence[float]) -> LogShift | None:
    """Return the difference of the means of two series, `None` for fewer than two values each.

    Errors are Welch's: the two may vary differently.
    """
    if min(len(values), len(reference)) < 2:
        return None
    here = LogShift(_mean(values), _error(values), len(values) - 1)
    there = LogShift(_mean(reference), _error(reference), len(reference) - 1)
    return here.without(there)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _error(values: Sequence[float]) -> float:
    mean = _mean(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))
