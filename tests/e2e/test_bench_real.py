"""A benchmark on real weights, with worker processes and limits as users get them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from edgeagent.config.package import read_package
from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.protocol import DecodeParams
from edgeagent.profiling.bench.cells import CellRunner
from edgeagent.profiling.bench.client import BenchWorker
from edgeagent.profiling.bench.run import run_bench
from edgeagent.profiling.bench.settings import BenchSettings
from edgeagent.record.bench import Cell
from edgeagent.report.bench.render import bench_lines
from edgeagent.report.bench.summary import summarize_bench

MB = 1_000_000


def children() -> list[psutil.Process]:
    return psutil.Process(os.getpid()).children(recursive=True)


def test_a_small_benchmark(smollm2_package: Path) -> None:
    package = read_package(smollm2_package)
    settings = BenchSettings(
        package, prompt_lens=(8, 24), depths=(0, 32), new_tokens=4, repeat=1, min_duration_s=0.0
    )
    record = run_bench(settings).record
    assert children() == []
    summary = summarize_bench(record)
    assert [cell.cell.label for cell in summary.cells] == [
        *("prefill 8", "prefill 24"),
        *("decode at 0", "decode at 32"),
    ]
    for cell in summary.cells:
        assert 0.1 < cell.tok_per_s.median < 100_000
        assert cell.mbu is not None
        assert cell.mfu is not None
        assert 0 < cell.mbu.median < 5
        assert 0 < cell.mfu.median < 5
    assert summary.bandwidth is not None
    assert 1e8 < summary.bandwidth.rate.median < 1e13
    assert record.sizes is not None
    # 4-bit blocks with corrections and an 8-bit head that the embedding shares.
    assert 100 * MB < record.sizes.step_weight_bytes < package.manifest.package_bytes
    assert summary.load_warm is not None
    assert 0.01 < summary.load_warm.load_s.median < 100
    assert "decode at 32" in bench_lines(summary)
    if sys.platform == "linux":
        load, prefill, decode = record.memory
        assert load.rss_peak_source == "process:rss_peak"
        assert load.rss_peak_bytes is not None
        assert prefill.rss_peak_bytes is not None
        assert decode.rss_peak_bytes is not None
        assert package.manifest.package_bytes < load.rss_peak_bytes
        assert (load.anon_peak_bytes or 0) > 100 * MB
        assert prefill.rss_end_bytes is not None
        assert decode.rss_peak_bytes >= prefill.rss_end_bytes - 20 * MB
    for found in record.loads:
        if found.cold and found.load.storage_read_bytes:
            assert found.load.storage_read_bytes > 50 * MB


def test_workers_side_by_side(smollm2_package: Path) -> None:
    """As a search for settings uses them: one engine each, asked in turns."""
    speculating = EngineConfig(intra_op_num_threads=1, speculation=NGramSpeculation())
    with (
        BenchWorker(smollm2_package, EngineConfig(intra_op_num_threads=2)) as plain,
        BenchWorker(smollm2_package, speculating) as guessing,
    ):
        assert plain.load().threads == 2
        assert guessing.load().threads == 1
        prompt = plain.encode("one two three one two three one two three one two")
        cell = Cell(kind="text", tokens=8, prompt=prompt)
        first, second = plain.measure(cell), guessing.measure(cell)
        assert first.drafted == first.accepted == 0
        assert second.drafted >= second.accepted > 0
        assert len(first.step_ns) == len(second.step_ns)
        (reading,) = plain.measure_many(Cell(kind="decode", tokens=2))
        assert reading.memory is not None
        assert len(reading.step_ns) == 2
    assert children() == []


@pytest.mark.parametrize("depth", [0, 5])
def test_decode_steps_are_those_of_a_session(smollm2: GenaiEngine, depth: int) -> None:
    """The measured loop chooses the tokens that a session's own decode chooses."""
    runner = CellRunner(smollm2, seed=3, context_len=64)
    runner.measure(Cell(kind="decode", depth=depth, tokens=6))
    assert runner._session is not None
    measured = list(runner._session.tokens)
    runner.close()
    session = smollm2.open(64)
    session.append(measured[: depth + 1])
    events = list(session.decode(DecodeParams(max_new_tokens=6)))
    session.close()
    chosen = [event.token_id for event in events]
    assert measured[depth + 1 :][: len(chosen)] == chosen
    assert chosen or measured[depth + 1] in {0, 2}, "only an end of turn decodes to nothing"
