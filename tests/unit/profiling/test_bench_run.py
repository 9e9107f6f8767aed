"""Rounds of a benchmark, with workers that compute nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeagent.clock import now_ns
from edgeagent.config.package import Package
from edgeagent.config.run import EngineConfig
from edgeagent.errors import ConfigError, EngineError
from edgeagent.profiling.bench.energy import energy_of
from edgeagent.profiling.bench.messages import CeilingJob, CeilingReply, Loaded
from edgeagent.profiling.bench.page_cache import Dropped
from edgeagent.profiling.bench.run import BenchParts, BenchProgress, BenchResult, run_bench
from edgeagent.profiling.bench.settings import BenchSettings, plan_round
from edgeagent.record.bench import CeilingReading, Cell, LoadReading, MemoryReading, Reading
from edgeagent.record.bench_run import BenchRecord
from edgeagent.record.conditions import HostState

MEMORY = MemoryReading(rss_bytes=90, rss_peak_bytes=100, anon_bytes=50, peak_is_of_phase=True)


class FakeWorker:
    """Answers at once and writes down what it is asked."""

    pid = 1

    def __init__(self, log: list[str], fail_at: str = "", error: type[BaseException] | None = None):
        self.loaded: Loaded | None = None
        self._log = log
        self._fail_at = fail_at
        self._error = error

    def __enter__(self) -> FakeWorker:
        self._log.append("start")
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._log.append("end")

    def load(self, meanwhile: Callable[[], None] | None = None) -> Loaded:
        if meanwhile is not None:
            meanwhile()
        self.loaded = Loaded(
            reading=LoadReading(t0_ns=0, t1_ns=10, import_ns=1, memory=MEMORY),
            engine="fake",
            version="1",
            ep="cpu",
            context_len=64,
            vocab_size=10,
            kv_bytes_per_token=4,
            threads=2,
        )
        return self.loaded

    def measure(self, cell: Cell, meanwhile: Callable[[], None] | None = None) -> Reading:
        return self.measure_many(cell)[0]

    def measure_many(
        self,
        cell: Cell,
        *,
        repeat: int = 1,
        min_ns: int = 0,
        meanwhile: Callable[[], None] | None = None,
    ) -> tuple[Reading, ...]:
        if meanwhile is not None:
            meanwhile()
        self._log.append(f"{cell.label} for {min_ns}")
        if self._log.count(f"{cell.label} for {min_ns}") > 1 and cell.label == self._fail_at:
            assert self._error is not None
            raise self._error("It broke.")
        t_ns = now_ns()
        return (Reading(t0_ns=t_ns, t1_ns=t_ns + 10, prefill_ns=9, ttft_ns=10, memory=MEMORY),)

    def warm_up(self, *cells: Cell) -> None:
        self._log.append("warm-up " + ", ".join(cell.label for cell in cells))


def parts(log: list[str], *, cold: bool = True, **worker: Any) -> BenchParts:
    def ceilings(job: CeilingJob) -> CeilingReply:
        log.append(f"limits with {job.threads}")
        reading = CeilingReading(
            kernel="read:x", round=job.round, threads=2, amount=8, t0_ns=0, t1_ns=1
        )
        return CeilingReply(readings=(reading,), cache_bytes=33)

    return BenchParts(
        open_worker=lambda _settings: FakeWorker(log, **worker),  # type: ignore[arg-type,return-value]
        measure_ceilings=ceilings,
        drop=lambda _files: Dropped(cold=cold, resident_share=0.0, reason="it is in use"),
        host_state=lambda: HostState(utc="", t_ns=len(log), ac_power=False),
    )


@pytest.fixture
def settings(package: Package) -> BenchSettings:
    package.folder.mkdir()
    manifest = package.manifest.model_copy(update={"context_len": 64})
    return BenchSettings(
        package=dataclasses.replace(package, manifest=manifest),
        prompt_lens=(4, 8),
        depths=(0, 16),
        new_tokens=3,
        repeat=3,
        min_duration_s=0.3,
        seed=5,
    )


def measured(log: list[str]) -> list[str]:
    return [line for line in log if line.endswith("for 100000000")]


def test_every_round_measures_everything_once_in_an_order_of_its_own(
    settings: BenchSettings,
) -> None:
    log: list[str] = []
    result = run_bench(settings, parts=parts(log))
    assert not result.interrupted
    record = result.record
    assert record.complete
    expected = [
        [cell.label for cell in plan_round(settings.cells(), round_, settings.seed)]
        for round_ in range(3)
    ]
    found = [
        [cell.cell.label for cell in record.cells if cell.round == round_] for round_ in range(3)
    ]
    assert found == expected
    assert {frozenset(labels) for labels in found} == {
        frozenset({"prefill 4", "prefill 8", "decode at 0", "decode at 16"})
    }
    assert len({tuple(labels) for labels in found}) > 1, "the order is random"
    assert [cell.order for cell in record.cells] == list(range(12))
    assert len(measured(log)) == 12, "a third of the shortest duration in each of three rounds"
    assert log.count("start") == log.count("end") == 1 + 3 * 2


def test_a_round_begins_with_limits_and_both_loads(settings: BenchSettings) -> None:
    log: list[str] = []
    record = run_bench(dataclasses.replace(settings, repeat=1), parts=parts(log)).record
    assert log[:9] == [
        *("start", "prefill 8 for 0", "decode at 16 for 0", "end"),
        "limits with 2",
        *("start", "prefill 4 for 0", "end"),
        "start",
    ]
    assert log[9:11] == ["prefill 4 for 0", "warm-up prefill 8, decode at 0"]
    assert [load.cold for load in record.loads] == [True, False]
    assert [phase.phase for phase in record.memory] == ["load", "prefill", "decode"]
    assert {phase.rss_peak_bytes for phase in record.memory} == {100}
    assert {phase.rss_peak_source for phase in record.memory} == {"process:rss_peak"}
    assert record.ceilings[0].round == 0
    assert record.cache_bytes == 33
    assert BenchRecord.model_validate_json(record.model_dump_json()) == record


def test_a_load_that_is_not_known_to_be_cold_is_none(settings: BenchSettings) -> None:
    record = run_bench(settings, parts=parts([], cold=False)).record
    assert [load.cold for load in record.loads] == [False] * 3
    assert sum("Cold loads were not measured" in note for note in record.notes) == 1
    assert any("it is in use" in note for note in record.notes)


def test_limits_of_the_cpu_are_not_held_against_another_processor(settings: BenchSettings) -> None:
    log: list[str] = []
    other = dataclasses.replace(settings, engine=EngineConfig(ep="cuda"))
    record = run_bench(other, parts=parts(log)).record
    assert record.ceilings == ()
    assert not any(line.startswith("limits") for line in log)
    assert any("the model ran on cuda" in note for note in record.notes)


def failing(settings: BenchSettings, error: type[BaseException]) -> BenchResult:
    # It works in the first round and fails in the second.
    return run_bench(settings, parts=parts([], fail_at="prefill 8", error=error))


def test_ctrl_c_keeps_what_was_measured(settings: BenchSettings) -> None:
    result = failing(settings, KeyboardInterrupt)
    assert result.interrupted
    assert not result.record.complete
    assert 4 <= len(result.record.cells) < 12
    assert result.error is None


def test_a_late_error_keeps_what_was_measured(settings: BenchSettings) -> None:
    result = failing(settings, EngineError)
    assert isinstance(result.error, EngineError)
    assert 4 <= len(result.record.cells) < 12


@pytest.mark.parametrize("error", [KeyboardInterrupt, EngineError])
def test_without_any_cell_there_is_nothing_to_keep(
    settings: BenchSettings, error: type[BaseException]
) -> None:
    def broken(_job: CeilingJob) -> CeilingReply:
        raise error("It broke.")

    with pytest.raises(error):
        run_bench(settings, parts=dataclasses.replace(parts([]), measure_ceilings=broken))


def test_progress_ends_where_it_should(settings: BenchSettings) -> None:
    told: list[BenchProgress] = []
    run_bench(settings, told.append, parts([]))
    assert [progress.done for progress in told] == list(range(told[0].total + 1))
    assert told[1].stage == "round 1 of 3"


# Settings


def test_lengths_are_cut_to_the_context(settings: BenchSettings) -> None:
    long = dataclasses.replace(settings, prompt_lens=(500, 8, 400), depths=(900, 0))
    assert long.fitting_prompt_lens() == (8, 63)
    assert long.fitting_depths() == (0, 60)
    assert long.context_len() == 64
    (note,) = long.notes()
    assert "context of 64 tokens" in note
    assert all(str(cut) in note for cut in (400, 500, 900))
    assert settings.notes() == ()
    assert settings.context_len() == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_lens": (), "depths": ()}, "neither"),
        ({"prompt_lens": (0,)}, "at least one token"),
        ({"depths": (-1,)}, "negative"),
        ({"repeat": 0}, "at least 1"),
        ({"seed": -1}, "seed"),
        ({"min_duration_s": float("nan")}, "duration"),
        ({"new_tokens": 64}, "64 new tokens do not fit"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    settings: BenchSettings, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(settings, **change)


def test_only_one_kind_of_cell(settings: BenchSettings) -> None:
    log: list[str] = []
    decodes = dataclasses.replace(settings, prompt_lens=())
    record = run_bench(decodes, parts=parts(log)).record
    assert {cell.cell.kind for cell in record.cells} == {"decode"}
    assert [phase.phase for phase in record.memory] == ["load", "decode"]


# Energy


class Gauge:
    """Reads one joule per nanosecond of the windows that it is asked for."""

    source = "a counter (cpu)"

    def __init__(self, known: bool = True) -> None:
        self.calls: list[str] = []
        self._known = known

    def begin(self) -> None:
        self.calls.append("begin")

    def poll(self) -> None:
        self.calls.append("poll")

    def end(self) -> None:
        self.calls.append("end")

    def joules(self, t0_ns: int, t1_ns: int) -> float | None:
        return float(t1_ns - t0_ns) if self._known else None


@pytest.mark.parametrize(("known", "joules"), [(True, 10.0), (False, None)])
def test_energy_is_read_around_every_cell(
    settings: BenchSettings, known: bool, joules: float | None
) -> None:
    gauge = Gauge(known)
    record = run_bench(settings, parts=dataclasses.replace(parts([]), energy=gauge)).record
    assert gauge.calls == ["begin", "poll", "end"] * len(record.cells)
    assert {cell.energy_j for cell in record.cells} == {joules}
    assert record.energy_source == "a counter (cpu)"
    without = run_bench(settings, parts=parts([])).record
    assert without.energy_source is None
    assert {cell.energy_j for cell in without.cells} == {None}


@pytest.mark.parametrize(
    ("windows", "joules", "asked"),
    [
        pytest.param([(0, 500), (501, 1000)], 1000.0, [(0, 1000)], id="one window"),
        pytest.param([(0, 400), (600, 1000)], 800.0, [(0, 400), (600, 1000)], id="with a break"),
        pytest.param([(0, 400), (600, 5000)], None, [(0, 400), (600, 5000)], id="one unknown"),
        pytest.param([], None, [], id="nothing measured"),
    ],
)
def test_joules_are_of_the_measured_time(
    windows: list[tuple[int, int]], joules: float | None, asked: list[tuple[int, int]]
) -> None:
    calls: list[tuple[int, int]] = []

    def energy_between(t0_ns: int, t1_ns: int) -> float | None:
        calls.append((t0_ns, t1_ns))
        return float(t1_ns - t0_ns) if t1_ns < 5000 else None

    readings = [Reading(t0_ns=t0_ns, t1_ns=t1_ns) for t0_ns, t1_ns in windows]
    assert energy_of(readings, energy_between) == joules
    assert calls == asked


def test_the_machine_is_looked_at_before_and_after(settings: BenchSettings) -> None:
    record = run_bench(settings, parts=parts([])).record
    assert record.before is not None
    assert record.after is not None
    assert record.before.t_ns == 0, "before anything was measured"
    assert record.after.t_ns > 0
    assert [warning.id for warning in record.warnings] == ["on_battery"]
    assert failing(settings, KeyboardInterrupt).record.after is None


def test_a_package_without_a_configuration_has_no_sizes(settings: BenchSettings) -> None:
    record = run_bench(settings, parts=parts([])).record
    assert not list(Path(settings.package.folder).iterdir())
    assert record.sizes is None
