"""The order of a run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edgeagent.config.suite import Category, MatchCheck, TaskSpec
from edgeagent.profiling.plan import make_plan


@pytest.fixture
def tasks() -> tuple[TaskSpec, ...]:
    return tuple(
        TaskSpec(
            id=f"task-{number}",
            category=Category.LANGUAGE,
            question="?",
            check=MatchCheck(kind="match", any_of=("x",)),
        )
        for number in range(6)
    )


def test_every_task_meets_every_paradigm_once_per_repetition(tasks) -> None:
    plan = make_plan(tasks, ("base", "single"), repeat=2, seed=1)
    expected = {(t.id, p, r) for t in tasks for p in ("base", "single") for r in (0, 1)}
    assert len(plan) == len(expected)
    assert {planned.key for planned in plan} == expected
    assert [planned.order for planned in plan] == list(range(len(plan)))


def test_repetitions_follow_one_another_in_orders_of_their_own(tasks) -> None:
    plan = make_plan(tasks, ("base", "single"), repeat=2, seed=1)
    first, second = plan[:12], plan[12:]
    assert {planned.repetition for planned in first} == {0}
    assert {planned.repetition for planned in second} == {1}
    assert [p.key[:2] for p in first] != [p.key[:2] for p in second]


def test_seed_decides_the_order_and_nothing_else_does(tasks) -> None:
    assert make_plan(tasks, ("base",), 1, 5) == make_plan(tasks, ("base",), 1, 5)
    assert make_plan(tasks, ("base",), 1, 5) != make_plan(tasks, ("base",), 1, 6)


def test_paradigms_are_interleaved(tasks) -> None:
    paradigms = [p.paradigm for p in make_plan(tasks, ("base", "single"), 1, 3)]
    changes = sum(a != b for a, b in pairwise(paradigms))
    assert changes > 1
