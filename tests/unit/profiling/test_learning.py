"""Profiles with memory: what is learned, what is held out, and what is compared."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.agent.memory.store import TraceStore
from edgeagent.config.checks import NumberCheck
from edgeagent.config.package import Package
from edgeagent.config.protocol import Protocol
from edgeagent.config.run import Budget
from edgeagent.config.suite import FunctionSpec, TaskSpec
from edgeagent.config.suites import Suite, load_suite
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ConfigError
from edgeagent.profiling.held_out import split_tasks, with_memory
from edgeagent.profiling.progress import ProfileProgress
from edgeagent.profiling.runner import run_profile
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.record import jsonl
from edgeagent.record.learning import LEARNED_NAME, MEMORY_NAME, LearnedRecord
from edgeagent.record.outcome import StepKind
from edgeagent.record.run import TASKS_NAME, TaskRecord
from edgeagent.report.load import load_run
from edgeagent.report.markdown import tradeoff_markdown
from edgeagent.report.summary import summarize


def task(number: int, category: str = "a", question: str = "", *, functions: bool = False):
    return TaskSpec(
        id=f"t{number}",
        category=category,
        question=question or f"question {number}",
        check=NumberCheck(kind="number", value=1),
        functions=(FunctionSpec(name="f"),) if functions else (),
    )


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=30), st.integers(0, 5))
def test_halves_are_disjoint_and_have_the_categories_alike(
    categories: list[str], seed: int
) -> None:
    tasks = [task(number, category) for number, category in enumerate(categories)]
    split = split_tasks(tasks, seed)
    assert sorted(map(id, (*split.learning, *split.held_out))) == sorted(map(id, tasks))
    for category in set(categories):
        halves = [
            sum(one.category == category for one in half)
            for half in (split.learning, split.held_out)
        ]
        assert halves[1] - halves[0] in {0, 1}
    assert split_tasks(tasks, seed) == split


def test_another_seed_splits_otherwise() -> None:
    tasks = load_suite("core").spec.task
    assert split_tasks(tasks, 1) != split_tasks(tasks, 2)


def test_a_question_that_is_held_out_is_never_learned() -> None:
    tasks = [
        task(number, question=f"Same  {'QUESTION' if number % 2 else 'question'}")
        for number in range(6)
    ]
    tasks += [task(number) for number in range(6, 12)]
    split = split_tasks(tasks, 0)
    learned = {" ".join(one.question.lower().split()) for one in split.learning}
    held_out = {" ".join(one.question.lower().split()) for one in split.held_out}
    assert not learned & held_out


def test_tasks_with_functions_of_their_own_are_held_out() -> None:
    tasks = [task(number, functions=number < 4) for number in range(8)]
    assert {one.id for one in split_tasks(tasks, 0).learning} <= {"t4", "t5", "t6", "t7"}
    with pytest.raises(ConfigError, match="too small"):
        split_tasks([task(1), task(2, "b")], 0)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["base", "single", "multi"], ["base", "single", "single+memory", "multi"]),
        (["base"], ["base", "single", "single+memory"]),
        (["multi+memory"], ["multi", "multi+memory"]),
        (["single+memory", "base"], ["single", "single+memory", "base"]),
    ],
)
def test_what_is_compared(names: list[str], expected: list[str]) -> None:
    assert list(with_memory(names)) == expected


SUITE = """
name = "sums"
version = 1
description = "Sums."
""" + "".join(
    f"""
[[task]]
id = "sum{n}"
category = "arithmetic"
question = "How much is {n} + {n + 30}?"
check = {{ kind = "number", value = {2 * n + 30} }}
"""
    for n in range(40, 48)
)


def answer(conversation: str) -> str:
    """Play a model: it computes, but for sums with 43."""
    turn = conversation.rsplit("[user]", 1)[1]
    if turn.startswith("Result: "):
        result = turn.removeprefix("Result: ").split("\n")[0]
        return f"Thought: I have the result.\nAnswer: {result}"
    question = turn.split("\n")[0]
    first, second = (part.strip(" ?") for part in question.removeprefix("How much is").split("+"))
    operator = "-" if first == "43" else "+"
    return (
        "Thought: I must use calculator.\n"
        f'Call: calculator {{"expression": "{first} {operator} {second}"}}'
    )


@pytest.fixture
def settings(package: Package, tmp_path) -> ProfileSettings:
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    suite: Suite = load_suite(folder)
    return ProfileSettings(
        package=package,
        suite=suite,
        paradigms=("single", "single+memory"),
        protocol=Protocol(warm_ups=0),
        budget=Budget(max_context_len=16384, max_new_tokens=200),
        learning=True,
        out=tmp_path / "run",
    )


def profile(settings: ProfileSettings, on_progress=lambda _progress: None) -> None:
    run_profile(
        settings,
        on_progress,
        open_engine=lambda _settings: ScriptedEngine(answer, context_len=16384),
    )


def test_a_profile_with_memory_learns_one_half_and_measures_the_other(
    settings: ProfileSettings,
) -> None:
    profile(settings)
    out = settings.out
    assert out is not None
    learned = list(jsonl.read(out / LEARNED_NAME, LearnedRecord))
    measured = list(jsonl.read(out / TASKS_NAME, TaskRecord))
    split = split_tasks(settings.suite.spec.task, settings.seed)
    assert [record.task_id for record in learned] == [one.id for one in split.learning]
    assert {record.task_id for record in measured} == {one.id for one in split.held_out}
    assert len(measured) == 2 * len(split.held_out)
    with TraceStore(out / MEMORY_NAME, create=False) as store:
        stored = {one.trace.question for one in store.traces()}
    solved = {record.task_id for record in learned if record.solved}
    assert stored == {one.question for one in split.learning if one.id in solved}
    assert all(record.stored == record.solved for record in learned)
    for record in measured:
        recalls = [step for step in record.outcome.steps if step.kind is StepKind.RECALL]
        assert bool(recalls) == (record.paradigm == "single+memory")
        assert all(set(step.text.split("\n")) <= stored for step in recalls)
    summary = summarize(load_run(out))
    assert summary.learning is not None
    assert (summary.learning.tasks, summary.learning.stored) == (4, len(stored))
    (gain,) = summary.learning.gains
    assert (gain.paradigm, gain.reference, gain.shown_rate) == ("single+memory", "single", 1.0)
    assert gain.differences["solved_rate"].mean == 0
    assert gain.differences["prefilled_tokens"].mean > 0
    assert "held out" in tradeoff_markdown(summary)


def test_an_interrupted_profile_learns_what_is_left_and_no_more(settings: ProfileSettings) -> None:
    def interrupt(progress: ProfileProgress) -> None:
        if progress.stage == "learning" and progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile(settings, interrupt)
    out = settings.out
    assert out is not None
    assert len(list(jsonl.read(out / LEARNED_NAME, LearnedRecord))) == 2
    profile(settings)
    learned = [record.task_id for record in jsonl.read(out / LEARNED_NAME, LearnedRecord)]
    assert len(learned) == len(set(learned)) == 4


def test_memory_has_to_be_asked_for_and_needs_a_paradigm(settings: ProfileSettings) -> None:
    with pytest.raises(ConfigError, match="needs a memory"):
        dataclasses.replace(settings, learning=False)
    with pytest.raises(ConfigError, match="No paradigm has a memory"):
        dataclasses.replace(settings, paradigms=("single",))
    with pytest.raises(ConfigError, match="no paradigm"):
        dataclasses.replace(settings, paradigms=("nobody+memory",))
