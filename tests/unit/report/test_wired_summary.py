"""What a run says about its machine, its repetitions and its memory reaches the report."""

from __future__ import annotations

import pytest
from rich.console import Console

from edgeagent.errors import RunDataError
from edgeagent.record import jsonl
from edgeagent.record.conditions import (
    CONDITIONS_NAME,
    ConditionsRecord,
    HostState,
    HostWarning,
)
from edgeagent.record.memory import MemoryPrediction
from edgeagent.record.run import COLD_NAME, ColdRecord
from edgeagent.record.samples import SampleKind, Scope, SourceInfo
from edgeagent.report.load import load_run
from edgeagent.report.markdown import tradeoff_markdown
from edgeagent.report.summary import summarize
from edgeagent.report.table import tradeoff_rows
from edgeagent.report.terminal import print_summary


def rows(summary) -> dict[str, tuple[str, ...]]:
    return {row.label.strip(): row.cells for row in tradeoff_rows(summary)}


def state(t_ns: int, **changes: object) -> HostState:
    return HostState.model_validate({"utc": "2026-01-01T00:00:00+00:00", "t_ns": t_ns, **changes})


def test_repetitions_are_told_how_well_they_agree(runs) -> None:
    tasks = [
        runs.task("a", e2e_ms=e2e_ms, repetition=repetition)
        for repetition, e2e_ms in enumerate((900, 1000, 1100))
    ]
    summary = summarize(load_run(runs.write(tasks)))
    found = summary.paradigms[0].repetitions
    assert found is not None
    assert found.count == 3
    assert found.half_width_s == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-3)
    assert rows(summary)["repetitions agree"] == ("± 25 % (3 times)",)
    assert not any("was run once" in note for note in summary.notes)


def test_one_repetition_says_so_and_shows_no_row(runs) -> None:
    summary = summarize(load_run(runs.write([runs.task("a")])))
    assert "repetitions agree" not in rows(summary)
    assert any("was run once" in note for note in summary.notes)
    assert summary.conditions is None


def test_marks_of_the_machine_are_printed_and_in_the_report(runs) -> None:
    task = runs.task("a")
    folder = runs.write([task])
    warning = HostWarning(id="busy", sentence="Other programs use 40 % of the processor.")
    record = ConditionsRecord(
        config=task.config,
        session=0,
        before=state(0, ac_power=True),
        after=state(10**10, ac_power=False),
        warnings=(warning,),
    )
    jsonl.append(folder / CONDITIONS_NAME, record)
    summary = summarize(load_run(folder))
    assert summary.conditions is not None
    assert "power_changed" in {mark.id for mark in summary.conditions.marks}
    report = tradeoff_markdown(summary)
    assert "## Conditions" in report
    assert warning.sentence in report
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as capture:
        print_summary(summary, console)
    shown = " ".join(capture.get().split())
    assert all(mark.sentence in shown for mark in summary.conditions.marks)


def test_conditions_of_another_run_are_refused(runs) -> None:
    folder = runs.write([runs.task("a")])
    other = runs.config(seed=99)
    record = ConditionsRecord(config=other, session=0, before=state(0))
    jsonl.append(folder / CONDITIONS_NAME, record)
    with pytest.raises(RunDataError, match="seed differ"):
        load_run(folder)


def test_predicted_memory_stands_beside_measured(runs) -> None:
    task = runs.task("a")
    folder = runs.write([task])
    predicted = MemoryPrediction(
        runtime_bytes=100_000_000,
        weights_bytes=100_000_000,
        load_extra_bytes=0,
        tokenizer_bytes=0,
        grammar_bytes=0,
        kv_cache_bytes=20_000_000,
        activations_bytes=0,
        sessions=1,
        context_len=64,
    )
    cold = ColdRecord(
        config=task.config,
        paradigm="base",
        load_ns=1,
        warm_up_ns=1,
        prefix_tokens=1,
        sessions=1,
        kv_cache_bytes=20_000_000,
        tasks=1,
        rss_loaded_bytes=None,
        rss_peak_bytes=200_000_000,
        rss_peak_source="process:rss_peak",
        rss_anon_bytes=None,
        rss_file_bytes=None,
        rss_peak_by_phase_bytes={"load": 150_000_000, "decode": 200_000_000},
        predicted=predicted,
    )
    jsonl.append(folder / COLD_NAME, cold)
    summary = summarize(load_run(folder))
    assert rows(summary)["predicted"] == ("220 MB (+10 %)",)
    report = tradeoff_markdown(summary)
    assert "| peak in load | 150 MB |" in report


def test_memory_of_a_graphics_card_stands_apart(runs) -> None:
    card = SourceInfo(
        source="nvml:memory-0",
        quantity="gpu_memory_bytes",
        kind=SampleKind.SAMPLED,
        scope=Scope.PROCESS,
    )
    batch = runs.batch((card,), {"nvml:memory-0": [(0, 1e9), (500, 3e9), (900, 2e9)]})
    summary = summarize(load_run(runs.write([runs.task("a")], [batch])))
    assert summary.gpu_memory_peak_bytes == {"nvml:memory-0": 3e9}
    assert summary.paradigms[0].memory.rss_peak_bytes is None
    assert "3,000 MB, not part of the RSS" in tradeoff_markdown(summary)
