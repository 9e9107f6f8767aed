"""Costs of two settings, measured in pairs: their ratio and its bootstrap interval.

A pair is two pieces of work right after one another, in random order: what slows the machine for
longer than a moment slows both. The percentile bootstrap of few values is too narrow, as it knows
nothing of the spread's own uncertainty; so its quantiles are expanded to those that make the
interval of a normal sample as wide as Student's.

Source: T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician
69 (2015) 371-386, section 5.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from edgeagent.record.student import t975

MIN_PAIRS = 6
"""With fewer, even if all pairs agree in direction, an exact sign test cannot reach 5 %."""

_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """How two costs compare.

    Attributes:
        pairs: Number of pairs.
        ratio: Geometric mean of the candidate's cost over the other's.
        low: Lower end of the 95 % interval, `None` for fewer than `MIN_PAIRS` pairs.
        high: Upper end.
    """

    pairs: int
    ratio: float
    low: float | None = None
    high: float | None = None

    @property
    def is_better(self) -> bool:
        """Whether the interval lies below 1."""
        return self.high is not None and self.high < 1

    @property
    def is_worse(self) -> bool:
        """Whether the interval lies above 1."""
        return self.low is not None and self.low > 1


def paired_ratio(log_ratios: Sequence[float], seed: int = 0) -> PairedRatio:
    """Return the ratio behind at least one pair.

    Args:
        log_ratios: Natural logarithm of candidate over other, one for each pair.
        seed: Of the resampling; the same values and seed give the same interval.
    """
    data = np.asarray(log_ratios, dtype=np.float64)
    n = len(data)
    ratio = math.exp(float(data.mean()))
    if n < MIN_PAIRS:
        return PairedRatio(n, ratio)
    generator = np.random.default_rng(seed)
    means = data[generator.integers(0, n, size=(_RESAMPLES, n))].mean(axis=1)
    tail = expanded_tail(n)
    low, high = (float(math.exp(value)) for value in np.quantile(means, [tail, 1 - tail]))
    return PairedRatio(n, ratio, low, high)


def expanded_tail(n: int) -> float:
    """Return the share of resamples to cut off at each end for a 95 % interval from `n` values."""
    return NormalDist().cdf(-math.sqrt(n / (n - 1)) * t975(n - 1))
