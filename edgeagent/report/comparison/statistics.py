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
    return LogShift(_mean(differences), _error(_block_means(differences, blocks)), blocks - 1)


def unpaired_shift(values: Sequence[float], reference: Sequence[float]) -> LogShift | None:
    """Return the difference of the means of two series in order of time.

    Each has an error of its own from blocks of consecutive values, because the two may vary
    differently and neighbours in time are alike. `None` for fewer than two values each.
    """
    if min(len(values), len(reference)) < 2:
        return None
    return _blocked_mean(values).without(_blocked_mean(reference))


def _blocked_mean(values: Sequence[float]) -> LogShift:
    blocks = len(values) if len(values) < 2 * MIN_BLOCKS else max(MIN_BLOCKS, len(values) // 4)
    means = _block_means(values, min(_MAX_BLOCKS, blocks))
    return LogShift(_mean(values), _error(means), len(means) - 1)


def _block_means(values: Sequence[float], blocks: int) -> list[float]:
    edges = [round(index * len(values) / blocks) for index in range(blocks + 1)]
    return [_mean(values[edges[index] : edges[index + 1]]) for index in range(blocks)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _error(values: Sequence[float]) -> float:
    mean = _mean(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))
