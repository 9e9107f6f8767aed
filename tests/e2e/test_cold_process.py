"""Cold starts on real weights: a paradigm alone in a process, seen from outside."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import psutil
import pytest

from edgeagent.config.package import read_package
from edgeagent.config.suites import load_suite
from edgeagent.errors import EngineError
from edgeagent.profiling.cold import cold_tasks, measure_cold_start
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.record.run import ColdRecord


@pytest.fixture
def settings(smollm2_package: Path, short_suite: Path) -> ProfileSettings:
    return ProfileSettings(read_package(smollm2_package), load_suite(short_suite))


def children() -> list[psutil.Process]:
    return psutil.Process(os.getpid()).children(recursive=True)


def test_a_paradigm_alone_needs_less_than_one_with_more_roles(settings: ProfileSettings) -> None:
    config = settings.run_config()
    base = measure_cold_start(settings, config, "base")
    single = measure_cold_start(settings, config, "single")
    weights = settings.package.manifest.package_bytes
    assert base.rss_loaded_bytes is not None
    assert base.rss_peak_bytes is not None
    assert single.rss_peak_bytes is not None
    assert weights < base.rss_loaded_bytes < base.rss_peak_bytes < single.rss_peak_bytes
    assert (base.sessions, single.sessions) == (1, 2)
    assert single.kv_cache_bytes == 2 * (base.kv_cache_bytes or 0) > 0
    assert 0 < base.prefix_tokens < single.prefix_tokens
    assert base.load_ns > 0
    assert base.tasks == 3
    assert children() == []
    if sys.platform == "linux":
        check_phases(base, weights)
        check_phases(single, weights)
        assert "tool" in single.rss_peak_by_phase_bytes


def check_phases(record: ColdRecord, weights: int) -> None:
    peaks = record.rss_peak_by_phase_bytes
    assert {"start", "import", "load", "warm_up", "prefill", "decode"} <= set(peaks)
    assert peaks["start"] <= peaks["import"] < peaks["load"] - weights / 2
    assert peaks["warm_up"] > peaks["import"] + (record.kv_cache_bytes or 0)
    assert record.rss_peak_bytes == max(peaks.values())
    assert record.rss_anon_by_phase_bytes["decode"] < peaks["decode"]
    assert 0 < (record.uss_bytes or 0) <= (record.pss_bytes or 0) <= peaks["rest"]
    assert record.swap_peak_bytes is not None
    assert record.predicted is not None
    assert record.predicted.sessions == record.sessions
    assert record.predicted.kv_cache_bytes == record.kv_cache_bytes
    assert record.predicted.rss_peak_bytes == pytest.approx(record.rss_peak_bytes, rel=0.2)


def test_a_worker_that_fails_says_why_and_is_gone(
    settings: ProfileSettings, tmp_path: Path
) -> None:
    broken = dataclasses.replace(settings.package, folder=tmp_path)
    with pytest.raises(EngineError, match="is not a package"):
        measure_cold_start(
            dataclasses.replace(settings, package=broken), settings.run_config(), "base"
        )
    assert children() == []


def test_ctrl_c_ends_the_worker(settings: ProfileSettings, monkeypatch) -> None:
    def interrupt(_self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeagent.profiling.cold._Watch.poll", interrupt)
    with pytest.raises(KeyboardInterrupt):
        measure_cold_start(settings, settings.run_config(), "base")
    assert children() == []


def test_the_longest_question_of_each_category_stands_for_the_suite() -> None:
    tasks = load_suite("core").spec.task
    chosen = cold_tasks(tasks)
    assert {task.category for task in chosen} == {task.category for task in tasks}
    for task in chosen:
        others = (other for other in tasks if other.category is task.category)
        assert all(len(other.question) <= len(task.question) for other in others)
