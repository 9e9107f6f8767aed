"""Profiles with the scripted engine: records, interruption, resumption, faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from edgeagent.config.protocol import Protocol
from edgeagent.config.run import Budget
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ConfigError, EngineError, RunDataError
from edgeagent.profiling.progress import ProfileProgress
from edgeagent.profiling.runner import run_profile
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.record import jsonl
from edgeagent.record.baseline import BASELINES_NAME, BaselineRecord, BaselineWhen
from edgeagent.record.conditions import CONDITIONS_NAME, ConditionsRecord
from edgeagent.record.outcome import FailureMode
from edgeagent.record.reference import REFERENCE_NAME, ReferenceRecord
from edgeagent.record.run import SAMPLES_NAME, TASKS_NAME, SampleBatch, TaskRecord
from edgeagent.record.samples import SourceState
from edgeagent.report.load import load_run
from edgeagent.report.summary import summarize


def answer(conversation: str) -> str:
    """Play a model: the base guesses, the agent computes sums and looks colours up."""
    turn = conversation.rsplit("[user]", 1)[1]
    if conversation.count("[user]") == 1:
        return "Hello, I think it is 6."
    if turn.startswith("Result: "):
        return f"Thought: I have the result.\nAnswer: {turn.removeprefix('Result: ')}"
    if "2 + 3" in turn:
        return 'Thought: I must use calculator.\nCall: calculator {"expression": "2 + 3"}'
    if "Zorb" in turn:
        return 'Thought: I must use search.\nCall: search {"query": "Zorb"}'
    return "Thought: I can answer directly.\nAnswer: Hello"


@pytest.fixture
def settings(suite, package, tmp_path) -> ProfileSettings:
    return ProfileSettings(
        package=package,
        suite=suite,
        paradigms=("base", "single"),
        budget=Budget(max_context_len=8192, max_new_tokens=200),
        out=tmp_path / "run",
    )


def scripted(reply: Callable[[str], str] = answer) -> Callable[[ProfileSettings], ScriptedEngine]:
    return lambda _settings: ScriptedEngine(reply, context_len=8192)


def records(settings: ProfileSettings) -> list[TaskRecord]:
    assert settings.out is not None
    return list(jsonl.read(settings.out / TASKS_NAME, TaskRecord))


@pytest.mark.parametrize(("chosen", "recorded"), [(None, True), (True, True), (False, False)])
def test_the_decision_on_grounding_is_recorded(settings, chosen, recorded) -> None:
    budget = settings.budget.model_copy(update={"grounding": chosen})
    settings = dataclasses.replace(settings, budget=budget)
    run_profile(settings, open_engine=scripted())
    found = [record.config.budget["grounding"] for record in records(settings)]
    assert len(found) == 6
    assert all(value is recorded for value in found)


def test_every_run_is_recorded_with_its_configuration_and_trace(settings) -> None:
    result = run_profile(settings, open_engine=scripted())
    found = records(settings)
    assert (result.measured, result.resumed) == (6, 0)
    assert {(r.task_id, r.paradigm) for r in found} == {
        (task, paradigm) for task in ("sum", "colour", "hello") for paradigm in ("base", "single")
    }
    assert all(record.config == settings.run_config() for record in found)
    for record in found:
        root = record.spans[0]
        assert all(root.t0_ns <= s.t0_ns <= s.t1_ns <= root.t1_ns for s in record.spans)
    summary = summarize(load_run(result.folder))
    base, single = summary.paradigms
    assert base.categories["no_tool"].solved == 1
    assert base.categories["arithmetic"].solved == 0
    assert single.categories["arithmetic"].solved == 1


def test_samples_are_taken_from_outside_while_tasks_run(settings) -> None:
    run_profile(settings, open_engine=scripted())
    batches = list(jsonl.read(settings.out / SAMPLES_NAME, SampleBatch))
    assert batches
    assert all(batch.session == 0 for batch in batches)
    rss = [s.value for b in batches for s in b.samples if s.source == "process:rss"]
    assert min(rss) > 1e6
    first, last = records(settings)[0].spans[0].t0_ns, records(settings)[-1].spans[0].t1_ns
    times = [s.t_ns for b in batches for s in b.samples]
    assert min(times) <= first
    assert max(times) >= last


def interrupt_after(runs: int) -> Callable[[str], str]:
    """Return a model at which somebody presses Ctrl-C."""
    left = iter(range(runs))

    def reply(conversation: str) -> str:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return answer(conversation)

    return reply


def test_ctrl_c_keeps_finished_tasks_and_the_same_settings_go_on(settings) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_profile(settings, open_engine=scripted(interrupt_after(6)))
    kept = records(settings)
    assert 0 < len(kept) < 6
    result = run_profile(settings, open_engine=scripted())
    assert (result.measured, result.resumed) == (6 - len(kept), len(kept))
    found = records(settings)
    assert found[: len(kept)] == kept
    assert len({(r.task_id, r.paradigm, r.repetition) for r in found}) == len(found) == 6
    sessions = {b.session for b in jsonl.read(settings.out / SAMPLES_NAME, SampleBatch)}
    assert sessions == {0, 1}


def test_complete_run_is_not_measured_again(settings) -> None:
    run_profile(settings, open_engine=scripted())
    before = records(settings)

    def fail(_settings: ProfileSettings) -> ScriptedEngine:
        raise AssertionError("the model was loaded for nothing")

    result = run_profile(settings, open_engine=fail)
    assert (result.measured, result.resumed) == (0, 6)
    assert records(settings) == before


def test_torn_last_line_is_measured_again(settings) -> None:
    run_profile(settings, open_engine=scripted())
    path = settings.out / TASKS_NAME
    path.write_bytes(path.read_bytes()[:-10])
    result = run_profile(settings, open_engine=scripted())
    assert (result.measured, result.resumed) == (1, 5)
    assert len(records(settings)) == 6


def test_run_of_other_settings_is_not_mixed_in(settings) -> None:
    run_profile(settings, open_engine=scripted())
    other = dataclasses.replace(settings, seed=settings.seed + 1)
    with pytest.raises(RunDataError, match="seed differ"):
        run_profile(other, open_engine=scripted())


def test_unfinished_run_is_found_again_below_runs(settings, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    unnamed = dataclasses.replace(settings, out=None)
    with pytest.raises(KeyboardInterrupt):
        run_profile(unnamed, open_engine=scripted(interrupt_after(6)))
    first = run_profile(unnamed, open_engine=scripted())
    assert first.resumed > 0
    second = run_profile(unnamed, open_engine=scripted())
    assert second.resumed == 0
    assert second.folder != first.folder


def test_failing_engine_is_an_outcome_and_the_run_goes_on(settings) -> None:
    def reply(conversation: str) -> str:
        if "Zorb" in conversation.rsplit("[user]", 1)[1]:
            raise EngineError("the runtime failed on purpose")
        return answer(conversation)

    run_profile(settings, open_engine=scripted(reply))
    found = {(r.task_id, r.paradigm): r.outcome for r in records(settings)}
    assert len(found) == 6
    assert found["colour", "base"].failure is FailureMode.ERROR
    assert found["colour", "single"].fell_back
    assert "on purpose" in found["colour", "single"].error


def test_progress_counts_up_and_ends_complete(settings) -> None:
    seen: list[ProfileProgress] = []
    run_profile(settings, seen.append, open_engine=scripted())
    tasks = [progress for progress in seen if progress.stage == "tasks"]
    assert [progress.done for progress in tasks] == list(range(7))
    assert all(progress.total == 6 for progress in tasks)
    assert all(progress.remaining_s is not None for progress in tasks[1:])
    assert any(progress.stage == "warm-up" for progress in seen)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paradigms": ("base", "swarm")}, "no paradigm swarm"),
        ({"paradigms": ()}, "no paradigm"),
        ({"paradigms": ("base", "base")}, "twice"),
    ],
)
def test_settings_that_cannot_run_are_refused(settings, changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(settings, **changes)


def test_repetitions_go_on_until_the_interval_is_narrow(settings) -> None:
    protocol = Protocol(repeat=2, max_repeat=4, target_ci=1e-9, warm_ups=0)
    settings = dataclasses.replace(settings, protocol=protocol)
    seen: list[ProfileProgress] = []
    result = run_profile(settings, seen.append, open_engine=scripted())
    assert result.measured == 4 * 6
    assert {record.repetition for record in records(settings)} == {0, 1, 2, 3}
    assert [progress.note for progress in seen if "repetition 3 follows" in progress.note]
    assert records(settings)[0].config.protocol["target_ci"] == 1e-9
    again = run_profile(settings, open_engine=scripted())
    assert (again.measured, again.resumed) == (0, 24)


def test_an_interrupted_run_with_a_target_goes_on_where_it_was(settings) -> None:
    protocol = Protocol(repeat=2, max_repeat=3, target_ci=1e-9, warm_ups=0)
    settings = dataclasses.replace(settings, protocol=protocol)
    with pytest.raises(KeyboardInterrupt):
        run_profile(settings, open_engine=scripted(interrupt_after(14)))
    kept = len(records(settings))
    assert 6 < kept < 18
    assert run_profile(settings, open_engine=scripted()).measured == 18 - kept
    assert len({(r.task_id, r.paradigm, r.repetition) for r in records(settings)}) == 18


def test_the_machine_itself_is_measured_between_tasks(settings) -> None:
    run_profile(settings, open_engine=scripted())
    found = list(jsonl.read(settings.out / REFERENCE_NAME, ReferenceRecord))
    assert len(found) >= 2
    tasks = records(settings)
    assert found[0].t1_ns <= tasks[0].spans[0].t0_ns
    assert found[-1].t0_ns >= tasks[-1].spans[0].t1_ns
    for record in found:  # never beside a task
        assert not any(
            task.spans[0].t0_ns < record.t1_ns and record.t0_ns < task.spans[0].t1_ns
            for task in tasks
        )


def test_the_state_of_the_machine_is_recorded_before_and_after(settings) -> None:
    seen: list[ProfileProgress] = []
    run_profile(settings, seen.append, open_engine=scripted())
    begun, ended = jsonl.read(settings.out / CONDITIONS_NAME, ConditionsRecord)
    assert begun.before == ended.before
    assert begun.after is None
    assert ended.after is not None
    assert ended.before.t_ns < records(settings)[0].spans[0].t0_ns
    assert ended.after.t_ns > records(settings)[-1].spans[0].t1_ns
    shown = " ".join(progress.note for progress in seen)
    assert all(warning.sentence in shown for warning in ended.warnings)


def test_baselines_enclose_the_tasks_where_they_are_asked_for(settings) -> None:
    run_profile(settings, open_engine=scripted())
    energy = any(
        info.quantity in {"energy_j", "power_w"} and info.state is SourceState.OK
        for batch in jsonl.read(settings.out / SAMPLES_NAME, SampleBatch)
        for info in batch.sources
    )
    assert (settings.out / BASELINES_NAME).is_file() is energy
    asked = dataclasses.replace(
        settings, protocol=Protocol(baseline_s=0.2), out=settings.out.parent / "asked"
    )
    run_profile(asked, open_engine=scripted())
    before, after = jsonl.read(asked.out / BASELINES_NAME, BaselineRecord)
    assert (before.when, after.when) == (BaselineWhen.BEFORE, BaselineWhen.AFTER)
    assert before.t1_ns - before.t0_ns >= 200_000_000
    tasks = records(asked)
    assert before.t1_ns <= tasks[0].spans[0].t0_ns
    assert tasks[-1].spans[0].t1_ns <= after.t0_ns
    assert summarize(load_run(asked.out))
