"""The paired bootstrap interval: right as often as it says, also for few pairs."""

from __future__ import annotations

import math
import random

import pytest

from edgeagent.profiling.tune.paired import MIN_PAIRS, expanded_tail, paired_ratio


def test_ratio_is_the_geometric_mean() -> None:
    found = paired_ratio([math.log(0.5), math.log(2.0), math.log(0.8)])
    assert found.ratio == pytest.approx(0.8 ** (1 / 3))
    assert (found.low, found.high) == (None, None)
    assert not found.is_better
    assert not found.is_worse


def test_clear_differences_are_clear() -> None:
    logs = [math.log(0.8) + 0.01 * (-1) ** n for n in range(MIN_PAIRS)]
    assert paired_ratio(logs).is_better
    assert paired_ratio([-value for value in logs]).is_worse


def test_the_same_pairs_give_the_same_interval() -> None:
    logs = [0.01 * n for n in range(8)]
    assert paired_ratio(logs, seed=1) == paired_ratio(logs, seed=1)


def test_the_tail_is_that_of_student_expanded() -> None:
    # By hand for 10: the normal distribution leaves 0.0086 below -sqrt(10 / 9) * 2.262 = -2.384.
    assert expanded_tail(10) == pytest.approx(0.0086, abs=1e-4)
    assert expanded_tail(10_000) == pytest.approx(0.025, abs=1e-4)


@pytest.mark.parametrize("n", [6, 16])
def test_the_interval_covers_the_truth_in_about_95_of_100_cases(n: int) -> None:
    rng = random.Random(n)
    covered = 0
    for _ in range(200):
        found = paired_ratio([rng.gauss(0.1, 0.05) for _ in range(n)])
        assert found.low is not None
        assert found.high is not None
        covered += found.low < math.exp(0.1) < found.high
    assert 0.91 <= covered / 200 <= 0.99
