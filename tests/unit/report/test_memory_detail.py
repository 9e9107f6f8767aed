"""Memory by phase and predicted against measured, from new records and old ones."""

from __future__ import annotations

import json

import pytest

from edgeagent.record.memory import MemoryPrediction
from edgeagent.record.run import ColdRecord
from edgeagent.record.samples import SampleKind, Scope, SourceInfo
from edgeagent.report.format import megabytes
from edgeagent.report.memory import (
    gpu_peak_bytes,
    memory_detail,
    memory_rows,
    prediction_parts,
)
from edgeagent.report.sessions import make_sessions

MB = 1_000_000
PREDICTED = MemoryPrediction(
    runtime_bytes=100 * MB,
    weights_bytes=130 * MB,
    load_extra_bytes=20 * MB,
    tokenizer_bytes=20 * MB,
    grammar_bytes=0,
    kv_cache_bytes=90 * MB,
    activations_bytes=10 * MB,
    sessions=1,
    context_len=2048,
)
OLD = {
    "paradigm": "base",
    "load_ns": 1,
    "warm_up_ns": 1,
    "prefix_tokens": 1,
    "sessions": 1,
    "kv_cache_bytes": 90 * MB,
    "tasks": 1,
    "rss_loaded_bytes": 1,
    "rss_peak_bytes": 400 * MB,
    "rss_peak_source": "process:rss_peak",
    "rss_anon_bytes": None,
    "rss_file_bytes": None,
}


@pytest.fixture
def old(runs) -> ColdRecord:
    """A record as it was written before phases were measured."""
    data = {"schema_version": 1, "config": runs.config().model_dump(mode="json"), **OLD}
    return ColdRecord.model_validate_json(json.dumps(data))


@pytest.fixture
def new(old: ColdRecord) -> ColdRecord:
    return old.model_copy(
        update={
            "rss_peak_by_phase_bytes": {"decode": 400 * MB, "load": 260 * MB, "odd": 5},
            "rss_anon_by_phase_bytes": {"decode": 300 * MB},
            "pss_bytes": 380 * MB,
            "uss_bytes": 370 * MB,
            "swap_peak_bytes": 0,
            "predicted": PREDICTED,
        }
    )


def test_phases_come_in_order_and_the_prediction_is_divided_by_the_peak(new: ColdRecord) -> None:
    detail = memory_detail(new)
    assert list(detail.phases) == ["load", "decode", "odd"]
    assert detail.phases["decode"].rss_anon_bytes == 300 * MB
    assert detail.phases["load"].rss_anon_bytes is None
    assert detail.predicted_ratio == pytest.approx(350 / 400)
    assert sum(prediction_parts(PREDICTED).values()) == PREDICTED.rss_peak_bytes == 350 * MB


def test_an_old_record_still_loads_and_has_no_rows(old: ColdRecord) -> None:
    detail = memory_detail(old)
    assert detail.phases == {}
    assert detail.predicted_ratio is None
    assert memory_rows([detail], megabytes=megabytes) == ()


def test_rows_of_two_paradigms(old: ColdRecord, new: ColdRecord) -> None:
    details = [memory_detail(new), None, memory_detail(old)]
    rows = dict(memory_rows(details, megabytes=megabytes))
    none = "not measured"
    assert rows == {
        "  peak in load": ("260 MB", none, none),
        "  peak in decode": ("400 MB", none, none),
        "  PSS at the end": ("380 MB", none, none),
        "  USS at the end": ("370 MB", none, none),
        "  predicted peak": ("350 MB", none, none),
        "  predicted / measured": ("0.88", "\N{EN DASH}", "\N{EN DASH}"),
    }


def test_swap_has_a_row_only_where_there_was_some(new: ColdRecord) -> None:
    swapped = memory_detail(new.model_copy(update={"swap_peak_bytes": 3 * MB}))
    rows = dict(memory_rows([swapped, memory_detail(new)], megabytes=megabytes))
    assert rows["  swapped out"] == ("3.00 MB", "0.00 MB")


def test_memory_of_two_cards_is_not_added(runs) -> None:
    sources = tuple(
        SourceInfo(
            source=name,
            quantity="gpu_memory_bytes",
            kind=SampleKind.SAMPLED,
            scope=Scope.MODULE,
        )
        for name in ("nvml:gpu-0", "nvml:gpu-1", "nvml:gpu-2")
    )
    readings = {"nvml:gpu-0": [(0, 5), (10, 9), (20, 7)], "nvml:gpu-1": [(0, 4)]}
    sessions = make_sessions([runs.batch(sources, readings)], [], [])
    assert gpu_peak_bytes(sessions) == {"nvml:gpu-0": 9, "nvml:gpu-1": 4}


def test_a_phase_that_a_paradigm_does_not_have_is_not_called_unmeasured(new: ColdRecord) -> None:
    peaks = {**new.rss_peak_by_phase_bytes, "tool": 390 * MB}
    with_tool = memory_detail(new.model_copy(update={"rss_peak_by_phase_bytes": peaks}))
    rows = dict(memory_rows([memory_detail(new), with_tool], megabytes=megabytes))
    assert rows["  peak in tool"] == ("\N{EN DASH}", "390 MB")
