"""Intervals over repetitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeagent.record.repetitions import Timing, repetition_intervals
from edgeagent.record.student import mean_half_width, t975


@pytest.mark.parametrize(
    ("degrees", "quantile"),  # tables of the distribution
    [(1, 12.7062), (4, 2.7764), (30, 2.0423), (40, 2.0211), (60, 2.0003), (120, 1.9799)],
)
def test_quantiles(degrees: int, quantile: float) -> None:
    assert t975(degrees) == pytest.approx(quantile, abs=2e-4)


def test_quantiles_between_whole_degrees_lie_between_their_neighbours() -> None:
    assert t975(2) > t975(2.5) > t975(3)
    assert t975(2.5) == pytest.approx(3.5747, rel=0.02)  # by numerical integration
    with pytest.raises(ValueError, match="at least one"):
        t975(0.5)


def test_the_half_width_covers_the_true_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(2000):
        values = generator.normal(10, 2, size=5)
        half_width = mean_half_width(values.tolist())
        assert half_width is not None
        covered += abs(values.mean() - 10) <= half_width
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


def timings(means: list[float], tasks: int = 4, paradigm: str = "base") -> list[Timing]:
    return [
        Timing(f"task-{task}", paradigm, repetition, mean * (1 + task))
        for repetition, mean in enumerate(means)
        for task in range(tasks)
    ]


def test_tasks_that_differ_do_not_widen_the_interval_but_repetitions_do() -> None:
    steady = repetition_intervals(timings([1.0, 1.0, 1.0]))["base"]
    assert (steady.repetitions, steady.mean_s, steady.half_width_s) == (3, 2.5, 0.0)
    spread = repetition_intervals(timings([0.9, 1.0, 1.1]))["base"]
    assert spread.relative_half_width == pytest.approx(4.3027 * 0.1 / math.sqrt(3))
    assert spread.total_s == pytest.approx(30)


def test_an_unfinished_repetition_does_not_count_but_its_time_does() -> None:
    found = repetition_intervals(timings([1.0, 1.0, 5.0])[:-1])["base"]
    assert found.repetitions == 2
    assert found.mean_s == 2.5
    assert found.total_s == pytest.approx(10 + 10 + 30)


def test_one_repetition_has_no_interval() -> None:
    found = repetition_intervals(timings([1.0]))["base"]
    assert found.half_width_s is None
    assert found.relative_half_width is None
