"""Cold starts in the summary: a paradigm's own memory instead of everybody's."""

from __future__ import annotations

import pytest

from edgeagent.errors import RunDataError
from edgeagent.record import jsonl
from edgeagent.record.run import COLD_NAME, ColdRecord
from edgeagent.report.load import load_run
from edgeagent.report.summary import summarize
from edgeagent.report.table import tradeoff_rows


def _cold(config, paradigm: str, peak: int | None) -> ColdRecord:
    return ColdRecord(
        config=config,
        paradigm=paradigm,
        load_ns=500_000_000,
        warm_up_ns=2_500_000_000,
        prefix_tokens=900,
        sessions=2,
        kv_cache_bytes=1000,
        tasks=5,
        rss_loaded_bytes=100,
        rss_peak_bytes=peak,
        rss_peak_source="process:rss_peak",
        rss_anon_bytes=300,
        rss_file_bytes=50,
    )


@pytest.fixture
def folder(runs, rss):
    tasks = [runs.task("a"), runs.task("a", "single")]
    return runs.write(tasks, [runs.batch((rss,), {"process:rss": [(500, 9e9)]})])


def test_memory_is_of_the_process_that_ran_the_paradigm_alone(runs, folder) -> None:
    jsonl.append(folder / COLD_NAME, _cold(runs.config(), "base", 400))
    jsonl.append(folder / COLD_NAME, _cold(runs.config(), "single", 700))
    base, single = summarize(load_run(folder)).paradigms
    assert (base.memory.rss_peak_bytes, single.memory.rss_peak_bytes) == (400, 700)
    assert base.memory.alone
    assert single.memory.kv_cache_bytes == 1000
    assert single.cold_start is not None
    assert single.cold_start.load_s == pytest.approx(0.5)
    assert single.cold_start.warm_up_s == pytest.approx(2.5)
    assert single.cold_start.prefix_tokens == 900


def test_without_cold_starts_the_timed_run_stands_in_and_says_so(folder) -> None:
    summary = summarize(load_run(folder))
    assert not any(paradigm.memory.alone for paradigm in summary.paradigms)
    assert all(paradigm.cold_start is None for paradigm in summary.paradigms)
    assert "Peak RSS, all loaded" in {row.label for row in tradeoff_rows(summary)}


def test_unmeasured_peak_stays_unmeasured(runs, folder) -> None:
    jsonl.append(folder / COLD_NAME, _cold(runs.config(), "base", None))
    base = summarize(load_run(folder)).paradigms[0]
    assert base.memory.rss_peak_bytes is None
    rows = {row.label: row.cells for row in tradeoff_rows(summarize(load_run(folder)))}
    assert rows["Peak RSS, alone"][0] == "not measured"


def test_cold_start_of_another_run_is_refused(runs, folder) -> None:
    jsonl.append(folder / COLD_NAME, _cold(runs.config(model_id="other"), "base", 400))
    with pytest.raises(RunDataError, match="model_id"):
        load_run(folder)


def test_negative_numbers_are_damage(runs, folder) -> None:
    jsonl.append(folder / COLD_NAME, _cold(runs.config(), "base", -1))
    with pytest.raises(RunDataError, match="negative"):
        load_run(folder)
