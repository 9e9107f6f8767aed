"""The sampling loop with sources that fail, vanish, flood, wait and cost."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from faulty_meters import BUSY, GONE, ScriptedMeter, discovery
from test_sampler import CONFIG

from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.sampler.failures import REPEAT_NS, FailureLog
from edgeagent.meter.sampler.job import SamplerJob, SamplerSummary
from edgeagent.meter.sampler.loop import SamplingLoop
from edgeagent.meter.sampler.pace import MAX_STRETCH, TOTAL_SHARE, Grid, SourcePace, Thrift
from edgeagent.record import jsonl
from edgeagent.record.run import SampleBatch
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState
from edgeagent.report.sessions import last_states

MS = NS_PER_S // 1000


def sample(
    tmp_path: Path, found: Discovery, duration_s: float, **job: float
) -> tuple[list[SampleBatch], SamplerSummary]:
    """Run the real loop for a while; return what it wrote and what it tells."""
    out = tmp_path / "samples.jsonl"
    options = {"interval_s": 0.01, "cpu_share": 1.0, **job}
    loop = SamplingLoop(SamplerJob(pid=1, out=str(out), config=CONFIG, session=0, **options), found)
    stop = threading.Event()
    timer = threading.Timer(duration_s, stop.set)
    timer.start()
    loop.run(stop, lambda: True, lambda: None)
    timer.join()
    return list(jsonl.read(out, SampleBatch)), loop.summary(duration_s, 0.0)


def test_a_failure_is_told_when_it_begins_and_the_source_goes_on(tmp_path: Path) -> None:
    meter = ScriptedMeter("a", [1.0, 2.0, BUSY, 3.0, 4.0])
    batches, summary = sample(tmp_path, discovery(meter), 0.3)
    (failure,) = [failure for batch in batches for failure in batch.failures]
    values = [(s.t_ns, s.value) for batch in batches for s in batch.samples]
    assert failure.state is SourceState.STALE
    assert "temporarily unavailable" in failure.reason
    assert [value for t_ns, value in values if t_ns < failure.t_ns] == [1.0, 2.0]
    assert values[2][1] == 3.0
    assert values[2][0] > failure.t_ns
    assert summary.failures == 1
    assert last_states(batches)[0].state is SourceState.OK


def test_a_source_that_always_fails_neither_floods_the_file_nor_is_asked_all_the_time(
    tmp_path: Path,
) -> None:
    broken = ScriptedMeter("broken", [1.0, BUSY])
    healthy = ScriptedMeter("healthy", [1.0])
    batches, summary = sample(tmp_path, discovery(broken, healthy), 1.2)
    assert len([failure for batch in batches for failure in batch.failures]) == 1
    assert summary.failures == len(broken.attempts_ns) - 1
    assert 4 <= len(broken.attempts_ns) <= 15
    assert len(healthy.attempts_ns) > 30
    assert [info.state for info in last_states(batches)] == [SourceState.STALE, SourceState.OK]


def test_hardware_that_is_unplugged_and_comes_back(tmp_path: Path) -> None:
    meter = ScriptedMeter("a", [1.0, *[GONE] * 5, 5.0])
    batches, summary = sample(tmp_path, discovery(meter), 0.7)
    times = [s.t_ns for batch in batches for s in batch.samples]
    (failure,) = [failure for batch in batches for failure in batch.failures]
    assert failure.state is SourceState.ABSENT
    attempts_ns = meter.attempts_ns[1:7]  # five that fail and the one that finds it again
    assert attempts_ns[-1] - attempts_ns[-2] > 3 * (attempts_ns[1] - attempts_ns[0])
    hole = max(later - earlier for earlier, later in itertools.pairwise(times))
    assert summary.gaps_ns["a"] == hole >= attempts_ns[-1] - attempts_ns[0]
    assert last_states(batches)[0].state is SourceState.OK


def test_an_unexpected_error_of_one_source_does_not_cost_the_others(tmp_path: Path) -> None:
    bad = ScriptedMeter("bad", [ZeroDivisionError("division by zero")])
    good = ScriptedMeter("good", [1.0])
    batches, _ = sample(tmp_path, discovery(bad, good), 0.1)
    (failure,) = batches[0].failures
    assert failure.reason == "ZeroDivisionError: division by zero"
    assert failure.state is SourceState.UNSUPPORTED
    assert len(good.attempts_ns) >= 3


def test_each_source_keeps_its_own_interval_and_tells_its_own_gap(tmp_path: Path) -> None:
    fast, slow = ScriptedMeter("fast", [1.0]), ScriptedMeter("slow", [1.0], min_interval_s=0.1)
    batches, summary = sample(tmp_path, discovery(fast, slow), 0.55)
    assert 3 <= len(slow.attempts_ns) <= 8
    assert len(fast.attempts_ns) >= 15
    for source in ("fast", "slow"):
        times = [s.t_ns for batch in batches for s in batch.samples if s.source == source]
        expected = max(later - earlier for earlier, later in itertools.pairwise(times))
        assert summary.gaps_ns[source] == expected
    assert summary.largest_gap_ns == summary.gaps_ns["fast"]
    assert max(batch.gaps_ns["slow"] for batch in batches if batch.gaps_ns) > 80 * MS


def test_a_reading_that_costs_is_repeated_more_rarely(tmp_path: Path) -> None:
    cheap, dear = ScriptedMeter("cheap", [1.0]), ScriptedMeter("dear", [1.0], burn_s=0.01)
    sample(tmp_path, discovery(cheap, dear), 0.5, cpu_share=0.3)  # 10 % for each: 10 ms of 100
    assert 3 <= len(dear.attempts_ns) <= 9
    assert len(cheap.attempts_ns) >= 12


def test_a_reading_that_waits_leaves_time_for_the_others(tmp_path: Path) -> None:
    waits = ScriptedMeter("waits", [1.0], wait_s=0.01)
    other = ScriptedMeter("other", [1.0])
    sample(tmp_path, discovery(waits, other), 0.5)
    assert 4 <= len(waits.attempts_ns) <= 13  # at most a quarter of the time, every 50 ms
    assert len(other.attempts_ns) >= 14


def test_without_any_source_it_still_ends(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    loop = SamplingLoop(
        SamplerJob(pid=1, interval_s=0.01, out=str(out), config=CONFIG, session=0),
        Discovery((), ()),
    )
    stop = threading.Event()
    timer = threading.Timer(0.05, stop.set)
    timer.start()
    loop.run(stop, lambda: True, lambda: None)
    timer.join()
    assert not out.exists()


def test_values_of_one_look_stay_together(tmp_path: Path) -> None:
    shared = {"t_ns": 0}

    class Shared(ScriptedMeter):
        def read(self):  # type: ignore[no-untyped-def]
            found = super().read()
            if self.info.source == "first":
                shared.update(t_ns=found.t_ns, width_ns=found.width_ns)
            return found.model_copy(update=shared)

    first = Shared("first", [1.0], burn_s=0.01)
    second = Shared("second", [2.0])
    batches, _ = sample(tmp_path, discovery(first, second), 0.4, cpu_share=0.3)
    times = {
        name: [s.t_ns for batch in batches for s in batch.samples if s.source == name]
        for name in ("first", "second")
    }
    assert times["first"] == times["second"]
    assert len(times["first"]) <= 8


def info(quantity: str) -> SourceInfo:
    return SourceInfo(source="s", quantity=quantity, kind=SampleKind.SAMPLED, scope=Scope.SYSTEM)


def test_intervals_are_a_series_in_phase() -> None:
    grid = Grid(1000, 100)
    assert [grid.interval_ns(wanted) for wanted in (1, 100, 101, 201, 999, 1000, 1002, 5010)] == [
        100,
        100,
        200,
        500,
        1000,
        1000,
        2000,
        10000,
    ]
    assert grid.after(1000, 200) == 1200
    assert grid.after(1199, 200) == 1200
    assert grid.after(1950, 500) == 2000


def test_points_that_were_missed_are_left_out() -> None:
    pace = SourcePace(info("power_w"), Grid(0, 100 * MS))
    pace.succeeded(0, 0.0, 1.0)
    assert pace.due_ns == 100 * MS
    pace.succeeded(730 * MS, 0.0, 1.0)
    assert pace.due_ns == 800 * MS


def test_memory_is_stretched_before_energy() -> None:
    grid = Grid(0, 100 * MS)
    memory, power = SourcePace(info("rss_bytes"), grid), SourcePace(info("power_w"), grid)
    for stretch, memory_ms, power_ms in ((1, 100, 100), (4, 500, 100), (16, 2000, 200)):
        memory.succeeded(0, 0.0, stretch)
        power.succeeded(0, 0.0, stretch)
        assert (memory.interval_ns // MS, power.interval_ns // MS) == (memory_ms, power_ms)


def test_one_disturbed_reading_changes_little() -> None:
    pace = SourcePace(info("power_w"), Grid(0, 100 * MS))
    for _ in range(10):
        pace.learn(cost_ns=50_000, wait_ns=50_000)
        pace.succeeded(0, 0.0, 1.0)
    pace.learn(cost_ns=400_000, wait_ns=5 * MS)
    pace.succeeded(0, 0.0, 1.0)
    assert pace.interval_ns == 100 * MS


def test_thrift_settles_below_the_budget_and_recovers() -> None:
    thrift = Thrift()

    def live(seconds: int, cost_at_full_pace: float) -> float:
        share = 0.0
        for _ in range(seconds):
            share = cost_at_full_pace / thrift.stretch
            thrift.account(share, 1.0)
        return share

    assert live(30, 0.004) == pytest.approx(0.004)
    assert thrift.stretch == 1.0
    assert live(30, 0.03) <= TOTAL_SHARE * 1.05
    assert 4 < thrift.stretch < 8
    assert live(30, 10.0) > TOTAL_SHARE
    assert thrift.stretch == thrift.largest_stretch == MAX_STRETCH
    live(60, 0.001)
    assert thrift.stretch == 1.0


def test_failures_are_told_again_when_they_last_or_change() -> None:
    log = FailureLog()
    told = [
        log.fail("a", 0, SourceState.STALE, "r" * 1000),
        log.fail("a", REPEAT_NS - 1, SourceState.STALE, "another reason"),
        log.fail("a", REPEAT_NS, SourceState.STALE, "still"),
        log.fail("a", REPEAT_NS + 1, SourceState.ABSENT, "gone"),
        log.fail("b", REPEAT_NS + 1, SourceState.ABSENT, "gone"),
    ]
    assert [failure is not None for failure in told] == [True, False, True, True, True]
    assert told[0] is not None
    assert len(told[0].reason) == 300
    log.succeed("a")
    assert log.fail("a", REPEAT_NS + 2, SourceState.ABSENT, "gone") is not None
    assert log.failed == 6


def test_states_are_told_once_and_when_they_change() -> None:
    log = FailureLog()
    sources = (info("power_w"), info("rss_bytes").model_copy(update={"source": "other"}))
    assert log.news(sources) == sources
    assert log.news(sources) == ()
    log.fail("s", 0, SourceState.STALE, "why")
    (changed,) = log.news(sources)
    assert (changed.source, changed.state, changed.reason) == ("s", SourceState.STALE, "why")
    log.fail("s", 1, SourceState.STALE, "why")
    assert log.news(sources) == ()
    log.succeed("s")
    assert log.news(sources) == (sources[0],)


def test_older_batches_still_load(tmp_path: Path) -> None:
    batch = SampleBatch(config=CONFIG, session=0, sources=(), samples=(), largest_gap_ns=now_ns())
    old = batch.model_dump(mode="json", exclude={"gaps_ns", "stretch", "cpu_s"})
    assert SampleBatch.model_validate(old) == batch


def test_a_meter_error_carries_its_state() -> None:
    assert MeterError("x").state is SourceState.STALE
