"""The order of a run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edgeagent.config.suite import Category, MatchCheck, TaskSpec
from edgeagent.profiling.plan import PlannedRun, plan_repetition


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


def plan(tasks: tuple[TaskSpec, ...], repeat: int, seed: int) -> list[PlannedRun]:
    repetitions = [plan_repetition(tasks, ("base", "single"), r, seed) for r in range(repeat)]
    return [planned for repetition in repetitions for planned in repetition]


def test_every_task_meets_every_paradigm_once_per_repetition(tasks) -> None:
    found = plan(tasks, repeat=2, seed=1)
    expected = {(t.id, p, r) for t in tasks for p in ("base", "single") for r in (0, 1)}
    assert len(found) == len(expected)
    assert {planned.key for planned in found} == expected
    assert [planned.order for planned in found] == list(range(len(found)))


def test_repetitions_follow_one_another_in_orders_of_their_own(tasks) -> None:
    found = plan(tasks, repeat=2, seed=1)
    first, second = found[:12], found[12:]
    assert {planned.repetition for planned in first} == {0}
    assert {planned.repetition for planned in second} == {1}
    assert [p.key[:2] for p in first] != [p.key[:2] for p in second]


def test_seed_decides_the_order_and_nothing_else_does(tasks) -> None:
    assert plan(tasks, 2, 5) == plan(tasks, 2, 5)
    assert plan(tasks, 1, 5) != plan(tasks, 1, 6)


def test_paradigms_are_interleaved(tasks) -> None:
    paradigms = [planned.paradigm for planned in plan(tasks, 1, 3)]
    changes = sum(a != b for a, b in pairwise(paradigms))
    assert changes > 1
