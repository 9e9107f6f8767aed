from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.report.model import Verdict
from edgeagent.report.stats import (
    bootstrap_interval,
    paired_difference,
    spread,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_intervals(successes, total, low, high) -> None:
    interval = wilson_interval(successes, total)
    assert interval is not None
    assert (interval.low, interval.high) == (
        pytest.approx(low, abs=5e-5),
        pytest.approx(high, abs=5e-5),
    )


def test_wilson_of_nothing_and_of_one() -> None:
    assert wilson_interval(0, 0) is None
    one = wilson_interval(1, 1)
    assert one is not None
    # z = 1.96: low = 1 / (1 + z**2) = 1 / 4.8415
    assert (one.low, one.high) == (pytest.approx(0.20655, abs=1e-5), 1.0)


@given(total=st.integers(1, 300), data=st.data())
def test_wilson_holds_the_share_and_mirrors(total: int, data) -> None:
    successes = data.draw(st.integers(0, total))
    interval = wilson_interval(successes, total)
    mirrored = wilson_interval(total - successes, total)
    assert interval is not None
    assert mirrored is not None
    assert 0 <= interval.low <= successes / total <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_wilson_covers_the_truth_about_95_times_in_100(share: float) -> None:
    draws = np.random.default_rng(1).binomial(45, share, size=4000)
    hits = 0
    for successes in draws:
        interval = wilson_interval(int(successes), 45)
        assert interval is not None
        hits += interval.low <= share <= interval.high
    assert 0.92 <= hits / len(draws) <= 0.98


def test_bootstrap_covers_the_truth_about_95_times_in_100() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        values = generator.exponential(3.0, size=45) - 3.0  # skewed as times are, true mean 0
        interval = bootstrap_interval(list(values), seed=trial)
        assert interval is not None
        hits += interval.low <= 0 <= interval.high
    assert 0.88 <= hits / 200 <= 0.99


def test_bootstrap_of_two_values_takes_every_pair() -> None:
    # Means of two draws from {0, 1}: 0 and 1 a quarter of the time each, so both are in reach.
    interval = bootstrap_interval([0.0, 1.0])
    assert interval is not None
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_bootstrap_is_repeatable_and_degenerate_cases_are_exact() -> None:
    values = [0.1, 0.5, -0.2, 0.9, 0.3]
    assert bootstrap_interval(values, 3) == bootstrap_interval(values, 3)
    assert bootstrap_interval([1.0]) is None
    assert bootstrap_interval([]) is None
    same = bootstrap_interval([0.25] * 8)
    assert same is not None
    assert (same.low, same.high) == (0.25, 0.25)


def _tasks(values) -> dict[str, float]:
    return {f"task-{index}": value for index, value in enumerate(values)}


def test_clear_gain_is_better_and_clear_cost_is_worse() -> None:
    base = _tasks([0.0] * 30)
    other = _tasks([1.0] * 20 + [0.0] * 10)
    gain = paired_difference(other, base, higher_is_better=True)
    cost = paired_difference(other, base, higher_is_better=False)
    assert gain is not None
    assert cost is not None
    assert gain.mean == pytest.approx(2 / 3)
    assert (gain.verdict, cost.verdict, gain.tasks) == (Verdict.BETTER, Verdict.WORSE, 30)


def test_interval_with_zero_is_not_distinguishable() -> None:
    base = _tasks([0.0, 1.0] * 20)
    other = _tasks([1.0, 0.0] * 20)
    difference = paired_difference(other, base, higher_is_better=True)
    assert difference is not None
    assert difference.mean == 0
    assert difference.verdict is Verdict.NOT_DISTINGUISHABLE


@pytest.mark.parametrize(("differing", "verdict"), [(5, "not_distinguishable"), (6, "better")])
def test_few_differing_tasks_prove_nothing(differing: int, verdict: str) -> None:
    base = _tasks([0.0] * differing)
    difference = paired_difference(_tasks([1.0] * differing), base, higher_is_better=True)
    assert difference is not None
    assert difference.verdict.value == verdict


def test_pairs_are_matched_by_task_and_unmatched_ones_left_out() -> None:
    difference = paired_difference(
        {"a": 3.0, "b": 5.0, "only": 100.0}, {"b": 1.0, "a": 2.0}, higher_is_better=False
    )
    assert difference is not None
    assert (difference.mean, difference.tasks) == (2.5, 2)
    assert paired_difference({"a": 1.0}, {"b": 1.0}, higher_is_better=True) is None


def test_single_pair_has_no_interval() -> None:
    difference = paired_difference({"a": 3.0}, {"a": 1.0}, higher_is_better=True)
    assert difference is not None
    assert difference.interval is None
    assert difference.verdict is Verdict.NOT_DISTINGUISHABLE


def test_verdict_rarely_claims_a_difference_where_there_is_none() -> None:
    generator = np.random.default_rng(5)
    claims = 0
    for trial in range(200):
        base = _tasks(generator.integers(0, 2, size=45).astype(float))
        other = _tasks(generator.integers(0, 2, size=45).astype(float))
        difference = paired_difference(other, base, higher_is_better=True, seed=trial)
        assert difference is not None
        claims += difference.verdict is not Verdict.NOT_DISTINGUISHABLE
    assert claims / 200 <= 0.10


def test_spread_interpolates_quartiles() -> None:
    found = spread([4.0, 1.0, 2.0, 3.0])
    assert (found.n, found.mean, found.median, found.p25, found.p75) == (4, 2.5, 2.5, 1.75, 3.25)
