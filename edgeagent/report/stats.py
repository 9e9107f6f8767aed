"""Intervals and verdicts for small suites: what the figures of a run can and cannot tell apart.

Repetitions of a task are not new tasks: at temperature 0 they repeat the same answer. So every
interval here is over tasks; the repetitions of one task are averaged first and narrow nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edgeagent.report.interval import Difference, Interval, Spread, Verdict

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""

RESAMPLES = 10_000
MIN_DIFFERING_TASKS = 6
"""With fewer tasks that differ, even if all differ in the same direction, a two-sided exact sign
test cannot reach 5 % (2 / 2**5 = 0.0625), however narrow the bootstrap interval looks."""

_BLOCK = 1000


def wilson_interval(successes: float, total: int) -> Interval | None:
    """Return the 95 % Wilson score interval of a share, `None` if `total` is 0.

    Args:
        successes: Number of successes; a fraction when each of the `total` tasks contributes the
            share of its repetitions that succeeded.
        total: Number of independent tasks.

    Source: E. B. Wilson, JASA 22 (1927) 209-212; no continuity correction.
    """
    if total == 0:
        return None
    share = successes / total
    z2 = Z_95 * Z_95
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = (
        Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    )
    return Interval(
        low=0.0 if successes <= 0 else max(0.0, centre - half),
        high=1.0 if successes >= total else min(1.0, centre + half),
    )


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """Return the 95 % percentile bootstrap interval of the mean, `None` for fewer than 2 values.

    Args:
        values: One value per task.
        seed: Seed of the resampling; the same values and seed give the same interval.
    """
    if len(values) < 2:
        return None
    data = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(seed)
    means = np.concatenate(
        [
            data[generator.integers(0, len(data), size=(_BLOCK, len(data)))].mean(axis=1)
            for _ in range(RESAMPLES // _BLOCK)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(low=float(low), high=float(high))


def bootstrap_ratio(pairs: Sequence[tuple[float, float]], seed: int = 0) -> Interval | None:
    """Return the 95 % percentile bootstrap interval of a quotient of sums over tasks.

    Args:
        pairs: Numerator and denominator of each task.
        seed: Seed of the resampling.

    Returns:
        The interval, `None` for fewer than 2 tasks or if the denominator of a resample may be 0
        often enough that the interval has no upper end.
    """
    if len(pairs) < 2:
        return None
    data = np.asarray(pairs, dtype=np.float64)
    generator = np.random.default_rng(seed)
    sums = np.concatenate(
        [
            data[generator.integers(0, len(data), size=(_BLOCK, len(data)))].sum(axis=1)
            for _ in range(RESAMPLES // _BLOCK)
        ]
    )
    amount, per = sums[:, 0], sums[:, 1]
    quotients = np.divide(amount, per, out=np.full(len(sums), np.inf), where=per > 0)
    low, high = np.sort(quotients)[[int(0.025 * len(sums)), int(0.975 * len(sums))]]
    return Interval(low=float(low), high=float(high)) if np.isfinite(high) else None


def paired_difference(
    values: Mapping[str, float],
    reference: Mapping[str, float],
    *,
    higher_is_better: bool,
    seed: int = 0,
) -> Difference | None:
    """Compare two paradigms on the tasks that both were measured on.

    Args:
        values: One value per task id, repetitions averaged.
        reference: The same of the paradigm that is compared with.
        higher_is_better: Direction of the verdict.
        seed: Seed of the bootstrap.

    Returns:
        The mean paired difference `values - reference` with its interval and verdict; `None` if
        no task has both.
    """
    differences = [
        value - reference[task_id] for task_id, value in values.items() if task_id in reference
    ]
    if not differences:
        return None
    interval = bootstrap_interval(differences, seed)
    return Difference(
        mean=math.fsum(differences) / len(differences),
        interval=interval,
        tasks=len(differences),
        verdict=_verdict(differences, interval, higher_is_better=higher_is_better),
    )


def _verdict(
    differences: Sequence[float], interval: Interval | None, *, higher_is_better: bool
) -> Verdict:
    differing = sum(difference != 0 for difference in differences)
    if interval is None or differing < MIN_DIFFERING_TASKS or interval.low <= 0 <= interval.high:
        return Verdict.NOT_DISTINGUISHABLE
    return Verdict.BETTER if (interval.low > 0) is higher_is_better else Verdict.WORSE


def spread(values: Sequence[float]) -> Spread:
    """Return mean, median and quartiles (linear interpolation) of at least one value."""
    p25, median, p75 = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    return Spread(
        n=len(values), mean=math.fsum(values) / len(values), median=median, p25=p25, p75=p75
    )
