"""Counters read at the edges of spans."""

from __future__ import annotations

import errno
import itertools
import os
import time
from pathlib import Path

import pytest
from faulty_meters import BUSY, ScriptedMeter
from sensor_trees import intel_laptop
from test_sampler import CONFIG

from edgeagent.meter.energy.rapl import discover_rapl
from edgeagent.meter.sampler.edges import EdgeBudget, EdgeReader
from edgeagent.meter.sampler.held import HeldFiles
from edgeagent.record.samples import SampleKind, SourceState
from edgeagent.record.spans import Recorder, SpanKind


def counter(source: str = "rapl:package-0", **options: object) -> ScriptedMeter:
    values = itertools.count(1.0)
    return ScriptedMeter(
        source,
        lambda: next(values),
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        **options,  # type: ignore[arg-type]
    )


def test_both_edges_of_a_span_are_read() -> None:
    reader = EdgeReader([counter()])
    recorder = Recorder(edges=reader)
    with recorder.span(SpanKind.DECODE, "base"):
        time.sleep(0.005)
    (span,) = recorder.trace()
    before, after = reader.drain()
    assert before.t_ns < span.t0_ns < span.t1_ns < after.t_ns
    assert after.value == before.value + 1
    assert reader.drain() == ()


def test_only_cheap_counters_are_read() -> None:
    slow = counter("slow", wait_s=0.001)
    rare = counter("rare", min_interval_s=1.0)
    power = ScriptedMeter("power", [1.0])
    broken = ScriptedMeter("broken", [BUSY], kind=SampleKind.COUNTER)
    reader = EdgeReader([slow, rare, power, broken, counter("good")])
    assert [meter.info.source for meter in reader.meters] == ["good"]


def test_without_counters_edges_cost_nothing() -> None:
    reader = EdgeReader([ScriptedMeter("power", [1.0])])
    reader.on_edge(SpanKind.TOOL, entering=True)
    assert reader.drain() == ()
    assert reader.batch(CONFIG, 0) is None


def test_edges_close_to_each_other_share_a_reading() -> None:
    reader = EdgeReader([counter()], EdgeBudget(min_gap_s=0.02, share=1.0))
    for _ in range(50):
        reader.on_edge(SpanKind.ORCHESTRATE, entering=True)
    time.sleep(0.025)
    reader.on_edge(SpanKind.ORCHESTRATE, entering=False)
    assert len(reader.drain()) + reader.skipped == 51
    assert reader.skipped >= 45


def test_dear_counters_are_read_so_rarely_that_the_share_holds() -> None:
    meters = [counter(str(index), wait_s=0.0002) for index in range(4)]
    reader = EdgeReader(meters, EdgeBudget(max_read_s=0.1, share=0.05))
    t0_s = time.perf_counter()
    while time.perf_counter() - t0_s < 0.2:
        reader.on_edge(SpanKind.TOOL, entering=True)
    # 0.8 ms each time, and 5 % of the time: every 16 ms at the earliest.
    assert 4 <= len(reader.drain()) <= 4 * (200 // 16 + 1)
    assert reader.skipped > 0


def test_readings_that_nobody_takes_are_bounded_and_counted() -> None:
    reader = EdgeReader([counter()], EdgeBudget(max_samples=3))
    for _ in range(5):
        reader.read()
    assert len(reader.drain()) == 3
    assert reader.dropped == 2
    reader.read()
    assert len(reader.drain()) == 1


def test_a_batch_tells_states_failures_and_gaps() -> None:
    answers = iter([*[1.0] * 5, 2.0, 3.0, BUSY, BUSY, 4.0])
    meter = ScriptedMeter("c", lambda: next(answers), kind=SampleKind.COUNTER)
    reader = EdgeReader([meter])
    for _ in range(4):
        reader.read()
    batch = reader.batch(CONFIG, 2)
    assert batch is not None
    first, second = batch.samples
    assert batch.session == 2
    assert batch.largest_gap_ns == second.t_ns - first.t_ns
    assert len(batch.failures) == 1
    assert batch.sources[0].state is SourceState.STALE
    reader.read()
    later = reader.batch(CONFIG, 2)
    assert later is not None
    assert later.samples[0].t_ns - second.t_ns == later.largest_gap_ns
    assert later.sources[0].state is SourceState.OK
    assert reader.batch(CONFIG, 2) is None


def test_counters_of_a_known_tree(tmp_path: Path) -> None:
    reader = EdgeReader(discover_rapl(intel_laptop(tmp_path)).meters, EdgeBudget(max_read_s=0.1))
    reader.read()
    values = {sample.source: sample.value for sample in reader.drain()}
    assert values["rapl:package-0"] == pytest.approx(26963.529117)


posix_only = pytest.mark.skipif(not hasattr(os, "pread"), reason="needs pread")


@posix_only
def test_a_held_file_shows_new_values_and_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "energy_uj"
    read = HeldFiles()
    for text in ("1\n", "22\n", "3\n", "x" * 100_000, "y" * 4096, ""):
        path.write_text(text)
        assert read(path) == text
    assert len(read) == 1
    read.close()
    assert len(read) == 0
    assert read(path) == ""


@posix_only
def test_a_file_that_is_replaced_by_another_one_is_seen(tmp_path: Path) -> None:
    read = HeldFiles()
    path = tmp_path / "var" / "status"
    path.parent.mkdir()
    for text in ("pmode:0000", "pmode:0002", "pmode:0003"):
        other = tmp_path / "new"
        other.write_text(text)
        other.replace(path)
        assert read(path) == text
        assert read(path) == text
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read(path)
    assert len(read) == 0


@posix_only
def test_a_held_file_that_fails_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "energy_uj"
    path.write_text("1")
    read = HeldFiles()
    assert [read(path), read(path)] == ["1", "1"]

    def gone(descriptor: int, count: int, offset: int) -> bytes:
        raise OSError(errno.ENODEV, "No such device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", gone)
        with pytest.raises(OSError, match="No such device"):
            read(path)
    assert len(read) == 0
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read(path)
    path.write_text("2")
    assert read(path) == "2"


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
def test_a_held_file_of_the_kernel_is_computed_anew() -> None:
    read = HeldFiles()
    path = Path("/proc/self/stat")
    ticks = []
    for _ in range(3):
        end_s = time.process_time() + 0.03
        while time.process_time() < end_s:
            pass
        ticks.append(sum(int(word) for word in read(path).rpartition(")")[2].split()[11:13]))
    assert len(read) == 1
    assert ticks[0] < ticks[-1]
    read.close()
