from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.errors import EdgeAgentError, RunDataError
from edgeagent.record.run import SAMPLES_NAME, TASKS_NAME
from edgeagent.record.spans import SpanKind
from edgeagent.report import load_run, write_report


def test_tasks_come_in_the_order_they_were_run(runs, rss) -> None:
    first, second = runs.task("a"), runs.task("b", "single")
    folder = runs.write([second, first], [runs.batch((rss,), {"process:rss": [(0, 1)]})])
    run = load_run(folder)
    assert [task.task_id for task in run.tasks] == ["a", "b"]
    assert run.config == first.config
    assert run.sources == (rss,)
    assert run.notes == ()


def test_folder_without_tasks_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunDataError, match=r"is not a run folder: it has no tasks\.jsonl"):
        load_run(tmp_path)
    with pytest.raises(RunDataError, match="is not a run folder"):
        load_run(tmp_path / "missing")


def test_run_without_a_finished_task_is_refused(runs) -> None:
    folder = runs.write([runs.task("a")])
    tasks = folder / TASKS_NAME
    tasks.write_bytes(tasks.read_bytes()[:100])
    with pytest.raises(RunDataError, match="holds no finished task"):
        load_run(folder)


def test_torn_last_task_is_left_out_and_noted(runs) -> None:
    folder = runs.write([runs.task("a"), runs.task("b")])
    tasks = folder / TASKS_NAME
    tasks.write_bytes(tasks.read_bytes()[:-10])
    run = load_run(folder)
    assert [task.task_id for task in run.tasks] == ["a"]
    assert "line 2 was not written to its end" in run.notes[0]


def test_mixed_configurations_are_refused_with_what_differs(runs, rss) -> None:
    other = runs.config(seed=8, ep="cuda")
    folder = runs.write([runs.task("a"), runs.task("b", config=other)])
    with pytest.raises(RunDataError, match=r"line 2 was .* another configuration \(ep, seed diff"):
        load_run(folder)


def test_samples_of_another_run_are_refused(runs, rss) -> None:
    batch = runs.batch((rss,), {}, config=runs.config(model_id="other"))
    folder = runs.write([runs.task("a")], [batch])
    with pytest.raises(RunDataError, match=r"samples\.jsonl, line 1 .*\(model_id differ"):
        load_run(folder)


def test_old_schema_names_both_versions(runs) -> None:
    folder = runs.write([runs.task("a")])
    tasks = folder / TASKS_NAME
    tasks.write_text(tasks.read_text().replace('"schema_version":1', '"schema_version":0'))
    with pytest.raises(RunDataError, match="line 1 has schema version 0, this edgeagent reads"):
        load_run(folder)


def test_missing_samples_are_noted_not_fatal(runs) -> None:
    run = load_run(runs.write([runs.task("a")]))
    assert run.sessions == ()
    assert run.notes == (f"The run has no {SAMPLES_NAME}, so memory and energy were not measured.",)


def test_task_recorded_twice_counts_once(runs, rss) -> None:
    first = runs.task("a", solved=True)
    again = runs.task("a", solved=False)
    run = load_run(runs.write([first, again], [runs.batch((rss,), {})]))
    assert [task.solved for task in run.tasks] == [True]
    assert run.notes == ("1 task runs are recorded twice; the first record counts.",)


@pytest.mark.parametrize(
    "damage",
    ["no spans", "orphan", "outside", "backwards", "more cached", "negative", "same id", "huge"],
)
def test_traces_that_no_recorder_writes_are_refused(runs, damage: str) -> None:
    def span(span_id, parent_id, t0_ms, t1_ms, **counts):
        return runs.span(span_id, parent_id, SpanKind.PREFILL, t0_ms, t1_ms, **counts)

    root = span(0, None, 0, 100)
    spans = {
        "no spans": (),
        "orphan": (root, span(1, 7, 0, 1)),
        "outside": (root, span(1, 0, 50, 101)),
        "backwards": (root, span(1, 0, 50, 40)),
        "more cached": (root, span(1, 0, 0, 1, tokens_in=3, cached=4)),
        "negative": (root, span(1, 0, 0, 1, tokens_in=-1, cached=-1)),
        "same id": (root, span(0, 0, 0, 1)),
        "huge": (root.model_copy(update={"t1_ns": 10**400}),),
    }[damage]
    folder = runs.write([runs.task("a", spans=spans)])
    with pytest.raises(RunDataError, match="line 1 is damaged"):
        load_run(folder)


@pytest.mark.parametrize("field", ['"turns":', '"memory_bytes":', '"package_bytes":', '"order":'])
@pytest.mark.parametrize("number", ["-1", "1" + "0" * 400])
def test_absurd_numbers_are_damage(runs, field: str, number: str) -> None:
    folder = runs.write([runs.task("a")])
    tasks = folder / TASKS_NAME
    before, _, after = tasks.read_text().partition(field)
    tasks.write_text(f"{before}{field}{number}{after.lstrip('0123456789')}")
    with pytest.raises(RunDataError, match="a number is negative or absurdly large"):
        load_run(folder)


def test_absurd_times_of_samples_are_damage(runs, rss) -> None:
    batch = runs.batch((rss,), {"process:rss": [(10**300, 1.0)]})
    with pytest.raises(RunDataError, match=r"samples\.jsonl, line 1 is damaged"):
        load_run(runs.write([runs.task("a")], [batch]))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_bytes_give_a_report_or_a_sentence(runs, rss, data) -> None:
    runs.order = 0
    tasks = runs.folder / TASKS_NAME
    if not tasks.exists():
        runs.write([runs.task("a"), runs.task("a", "single")], [runs.batch((rss,), {})])
        tasks.with_suffix(".whole").write_bytes(tasks.read_bytes())
    damaged = bytearray(tasks.with_suffix(".whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    tasks.write_bytes(damaged)
    message = "."
    try:
        write_report(runs.folder)
    except EdgeAgentError as error:
        message = str(error)
    assert message.endswith(".")
    assert "\n" not in message
