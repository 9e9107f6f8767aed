"""The study's measures of quality: normalized relative quality and the composite Z-score.

Source: arXiv 2604.19299. It averages over its datasets; here the categories of a suite stand for
them. Neither is computed of a single category or of a single paradigm: a mean over one dataset, or
a spread over one system, is not what the names promise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgeagent.report.interval import Interval
from edgeagent.report.quality.model import RelativeQuality
from edgeagent.report.quality.outcomes import SolvedByCategory
from edgeagent.report.stats import RESAMPLES

EPSILON = 0.01
"""The study names an epsilon and no value; one point in a hundred is below what a category of less
than a hundred tasks can resolve."""

_BLOCK = 500


def relative_quality(
    solved: SolvedByCategory, base: SolvedByCategory, seed: int = 0
) -> RelativeQuality | None:
    """Return the normalized relative quality of one paradigm.

    Args:
        solved: Shares of solved repetitions by category and task.
        base: Those of the base model.
        seed: Seed of the bootstrap.

    Returns:
        The mean over the categories with tasks that both were measured on; `None` for fewer than
        two of them.
    """
    pairs = {
        category: found
        for category, shares in solved.items()
        if (found := _paired(shares, base.get(category, {})))
    }
    if len(pairs) < 2:
        return None
    quotients = {
        category: _quotient(_mean(mine for mine, _ in found), _mean(theirs for _, theirs in found))
        for category, found in pairs.items()
    }
    return RelativeQuality(
        mean=_mean(quotients.values()),
        interval=_interval(list(pairs.values()), seed),
        epsilon=EPSILON,
        categories=quotients,
        base_solved_none=tuple(
            category for category, found in pairs.items() if not any(theirs for _, theirs in found)
        ),
    )


def composite_z(solved: Mapping[str, SolvedByCategory]) -> dict[str, float]:
    """Return the composite Z-score of each paradigm.

    In each category the scores of the paradigms are standardized (their mean is subtracted, their
    population standard deviation divides), then averaged over categories. Only tasks that every
    paradigm was measured on count. Where all paradigms score alike they get 0.

    Args:
        solved: Shares of solved repetitions by paradigm, category and task.

    Returns:
        Paradigm to score; empty for fewer than two paradigms or categories.
    """
    if len(solved) < 2:
        return {}
    per_category = []
    for category in sorted(set.intersection(*(set(found) for found in solved.values()))):
        tasks = set.intersection(*(set(found[category]) for found in solved.values()))
        if tasks:
            scores = [
                _mean(found[category][task] for task in sorted(tasks)) for found in solved.values()
            ]
            per_category.append(_standardized(scores))
    if len(per_category) < 2:
        return {}
    return {
        paradigm: _mean(z[index] for z in per_category) for index, paradigm in enumerate(solved)
    }


def _paired(mine: Mapping[str, float], theirs: Mapping[str, float]) -> list[tuple[float, float]]:
    return [(value, theirs[task_id]) for task_id, value in mine.items() if task_id in theirs]


def _quotient(score: float, base: float) -> float:
    return (score - base) / (abs(base) + EPSILON)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)


def _standardized(scores: Sequence[float]) -> list[float]:
    mean = _mean(scores)
    deviation = math.sqrt(_mean((score - mean) ** 2 for score in scores))
    return [(score - mean) / deviation if deviation > 0 else 0.0 for score in scores]


def _interval(pairs: Sequence[Sequence[tuple[float, float]]], seed: int) -> Interval | None:
    """Return the 95 % percentile bootstrap interval of the mean quotient."""
    if any(len(found) < 2 for found in pairs):
        return None
    generator = np.random.default_rng(seed)
    total = np.zeros(RESAMPLES)
    for found in pairs:
        data = np.asarray(found, dtype=np.float64)
        for start in range(0, RESAMPLES, _BLOCK):
            drawn = data[generator.integers(0, len(data), size=(_BLOCK, len(data)))].mean(axis=1)
            score, base = drawn[:, 0], drawn[:, 1]
            total[start : start + _BLOCK] += (score - base) / (np.abs(base) + EPSILON)
    low, high = np.quantile(total / len(pairs), [0.025, 0.975])
    return Interval(low=float(low), high=float(high))
