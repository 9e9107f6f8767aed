"""The study's measures of quality against hand computation, and what became of task runs."""

from __future__ import annotations

import math

import pytest

from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind
from edgeagent.report import Summary, load_run, summarize
from edgeagent.report.markdown import tradeoff_markdown
from edgeagent.report.model import ParadigmSummary, Verdict
from edgeagent.report.quality.study import EPSILON, composite_z, relative_quality


def shares(**categories: list[float]) -> dict[str, dict[str, float]]:
    return {
        category: {f"{category}-{index}": value for index, value in enumerate(values)}
        for category, values in categories.items()
    }


HALF = shares(a=[1, 0, 1, 0], b=[1, 0, 0, 0])
MOST = shares(a=[1, 1, 1, 0], b=[0, 0, 0, 0])


def test_relative_quality_by_hand() -> None:
    found = relative_quality(MOST, HALF)
    assert found is not None
    assert found.categories == {
        "a": pytest.approx(0.25 / (0.5 + EPSILON)),
        "b": pytest.approx(-0.25 / (0.25 + EPSILON)),
    }
    assert found.mean == pytest.approx((0.25 / 0.51 - 0.25 / 0.26) / 2)
    assert found.interval is not None
    assert found.interval.low < found.mean < found.interval.high
    assert (found.epsilon, found.base_solved_none) == (EPSILON, ())


def test_the_base_model_relative_to_itself_is_zero() -> None:
    found = relative_quality(HALF, HALF)
    assert found is not None
    assert (found.mean, found.interval.low, found.interval.high) == (0, 0, 0)


def test_where_the_base_solves_nothing_epsilon_decides() -> None:
    found = relative_quality(HALF, MOST)
    assert found is not None
    assert found.base_solved_none == ("b",)
    assert found.categories["b"] == pytest.approx(0.25 / EPSILON)


def test_one_category_has_no_relative_quality() -> None:
    assert relative_quality(shares(a=[1]), shares(a=[0])) is None
    assert relative_quality(HALF, {}) is None
    assert relative_quality(HALF, shares(a=[1, 0, 1, 0])) is None


def test_only_tasks_that_both_ran_are_compared() -> None:
    found = relative_quality(MOST, shares(a=[1], b=[1, 0]))
    assert found is not None
    assert found.categories["a"] == 0
    assert found.interval is None  # one task of a category says nothing about others


def test_the_interval_narrows_with_tasks() -> None:
    few, many = (
        relative_quality(shares(a=[1, 0] * n, b=[1, 1] * n), shares(a=[0, 1] * n, b=[1, 0] * n))
        for n in (5, 100)
    )
    assert few is not None
    assert many is not None
    assert few.mean == pytest.approx(many.mean)
    widths = [found.interval.high - found.interval.low for found in (few, many)]
    assert widths[1] < widths[0] / 3


def test_composite_z_by_hand() -> None:
    # a: 0.5, 0.75, 0.25; b: 0.25, 0, 0.25
    third = shares(a=[0, 0, 1, 0], b=[0, 0, 1, 0])
    scores = composite_z({"base": HALF, "single": MOST, "multi": third})
    spread_a = math.sqrt(((0.25**2) * 2) / 3)
    mean_b = 0.5 / 3
    spread_b = math.sqrt((2 * (0.25 - mean_b) ** 2 + mean_b**2) / 3)
    assert scores == {
        "base": pytest.approx((0 + (0.25 - mean_b) / spread_b) / 2),
        "single": pytest.approx((0.25 / spread_a - mean_b / spread_b) / 2),
        "multi": pytest.approx((-0.25 / spread_a + (0.25 - mean_b) / spread_b) / 2),
    }
    assert math.fsum(scores.values()) == pytest.approx(0)


def test_composite_z_is_not_made_up() -> None:
    assert composite_z({"base": HALF}) == {}
    assert composite_z({"base": shares(a=[1]), "single": shares(a=[0])}) == {}
    assert composite_z({"base": HALF, "single": shares(a=[1])}) == {}
    assert composite_z({"base": HALF, "single": HALF}) == {"base": 0, "single": 0}


def _tasks(runs, paradigm: str, category: str, solved: list[bool], **options: object) -> list:
    return [
        runs.task(f"{category}-{index}", paradigm, solved=right, category=category, **options)
        for index, right in enumerate(solved)
    ]


def _by_name(summary: Summary) -> dict[str, ParadigmSummary]:
    return {paradigm.paradigm: paradigm for paradigm in summary.paradigms}


def test_a_run_of_two_categories(runs) -> None:
    tasks = [
        *_tasks(runs, "base", "simple", [True] * 2 + [False] * 8),
        *_tasks(runs, "single", "simple", [True] * 9 + [False]),
        *_tasks(runs, "base", "none", [False] * 10),
        *_tasks(runs, "single", "none", [True, *[False] * 9]),
    ]
    summary = summarize(load_run(runs.write(tasks)))
    base, single = _by_name(summary).values()
    assert base.relative_quality.mean == 0
    assert single.relative_quality.categories == {
        "none": pytest.approx(0.1 / EPSILON),
        "simple": pytest.approx(0.7 / (0.2 + EPSILON)),
    }
    assert (base.composite_z, single.composite_z) == (-1, 1)
    simple = single.categories["simple"]
    assert (simple.solved, simple.attempts, simple.tasks, simple.solved_rate) == (9, 10, 10, 0.9)
    assert simple.solved_interval.low == pytest.approx(0.596, abs=0.001)
    assert simple.difference.mean == pytest.approx(0.7)
    assert simple.difference.verdict is Verdict.BETTER
    assert base.categories["simple"].difference is None
    assert Summary.model_validate_json(summary.model_dump_json()) == summary
    text = tradeoff_markdown(summary)
    assert "## Relative to the base model" in text
    assert "base solved nothing of none: there the relative quality" in text
    assert "better: +70.0 points" in text


@pytest.mark.parametrize("paradigms", [("base",), ("single", "multi")])
def test_without_a_comparison_there_are_no_relative_figures(runs, paradigms) -> None:
    config = runs.config(paradigms=paradigms)
    tasks = [
        task
        for name in paradigms
        for category in ("x", "y")
        for task in _tasks(runs, name, category, [True, False], config=config)
    ]
    summary = summarize(load_run(runs.write(tasks)))
    assert all(paradigm.relative_quality is None for paradigm in summary.paradigms)
    assert (summary.paradigms[0].composite_z is None) is (len(paradigms) == 1)
    assert "base solved nothing" not in tradeoff_markdown(summary)


def test_what_became_of_task_runs(runs) -> None:
    failing = [FailureMode.TIMEOUT, FailureMode.TIMEOUT, FailureMode.PROTOCOL_VIOLATION]
    tasks = [
        runs.task(f"f-{index}", solved=False, failure=mode, fell_back=True)
        for index, mode in enumerate(failing)
    ]
    tasks += [runs.task("right"), runs.task("wrong", solved=False)]
    steps = (
        Step(agent="a", kind=StepKind.CALL, tool="calculator"),
        Step(agent="a", kind=StepKind.OBSERVATION, tool="calculator", failed=True),
        Step(agent="a", kind=StepKind.CALL, tool="calculator"),
        Step(agent="a", kind=StepKind.OBSERVATION, tool="calculator"),
        Step(agent="a", kind=StepKind.ROUTE, tool="quantitative"),
    )
    tasks[-1] = tasks[-1].model_copy(update={"outcome": Outcome(answer="7", steps=steps)})
    summary = summarize(load_run(runs.write(tasks)))
    (base,) = summary.paradigms
    assert base.failure_modes == {"timeout": 2, "protocol_violation": 1}
    assert base.wrong == 1
    assert (base.calls_per_task.made, base.calls_per_task.failed) == (0.4, 0.2)
    assert base.calls_per_task.unreadable == 0.2
    assert base.completed_interval.high == 1
    assert base.completed_unaided_rate == 0.4
    assert base.completed_unaided_interval.low == pytest.approx(0.118, abs=0.001)
    text = tradeoff_markdown(summary)
    assert "| Timeout | 2 (40 %) |" in text
    assert "| Context exceeded | 0 |" in text
    assert "| Turn limit |" not in text  # of ours, and did not happen
    assert "of these not solved | 1 (20 %) |" in text


def test_decoded_tokens_are_those_that_the_model_chose(runs) -> None:
    from edgeagent.record.spans import SpanKind

    spans = (
        runs.span(0, None, SpanKind.ORCHESTRATE, 0, 100),
        runs.span(1, 0, SpanKind.DECODE, 10, 60, forced=3, token_ms=(20, 30, 40, 50, 60)),
    )
    (base,) = summarize(load_run(runs.write([runs.task("a", spans=spans)]))).paradigms
    tokens = base.tokens_per_task
    assert (tokens.out, tokens.forced, tokens.decoded) == (5, 3, 2)
