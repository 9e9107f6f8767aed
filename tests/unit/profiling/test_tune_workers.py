"""Worker processes that take turns: how many are open, what is rejected, and joules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.errors import EngineError, ResourceError
from edgeagent.profiling.tune import workers
from edgeagent.profiling.tune.device import UnsuitableError
from edgeagent.profiling.tune.work import Job, Work
from edgeagent.profiling.tune.workers import SensorError, WorkerDevice
from edgeagent.record.bench import Cell, MemoryReading, Reading

DEFAULT = EngineConfig()
QUIET = EngineConfig(allow_spinning=False)
SHORT = EngineConfig(prefill_chunk_len=32)
SPECULATING = EngineConfig(speculation=NGramSpeculation())
VOCAB = 50_000
PEAK = 400_000_000
MS = 1_000_000


class FakeWorker:
    """Stands for a process; what it says depends on its settings only."""

    alive: list[FakeWorker] = []  # noqa: RUF012 - one list for all on purpose
    started: list[EngineConfig] = []  # noqa: RUF012
    answers: dict[EngineConfig, tuple[int, ...]] = {}  # noqa: RUF012
    broken: dict[EngineConfig, Exception] = {}  # noqa: RUF012
    peaks: dict[EngineConfig, int] = {}  # noqa: RUF012
    now_ns = 0

    def __init__(self, _package: Path, config: EngineConfig, *, context_len: int) -> None:
        self.config = config
        self.context_len = context_len

    def __enter__(self) -> FakeWorker:
        self.alive.append(self)
        self.started.append(self.config)
        return self

    def load(self) -> SimpleNamespace:
        if self.config in self.broken:
            raise self.broken[self.config]
        return SimpleNamespace(vocab_size=VOCAB)

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def measure(self, cell: Cell, meanwhile: Callable[[], None] | None = None) -> Reading:
        assert self in self.alive
        if meanwhile is not None:
            meanwhile()
        t0_ns = FakeWorker.now_ns
        FakeWorker.now_ns += 100 * MS
        said = self.answers.get(self.config, (1, 2, 3)) if cell.kind == "text" else ()
        return Reading(
            t0_ns=t0_ns,
            t1_ns=FakeWorker.now_ns,
            step_ns=tuple(10 * MS for _ in said),
            token_ids=said,
            memory=MemoryReading(rss_peak_bytes=self.peaks.get(self.config, PEAK)),
        )

    def close(self, *, at_once: bool = False) -> None:
        self.alive.remove(self)


class FakeGauge:
    """Draws 10 W; blind to windows shorter than `resolution_ms`, or to everything."""

    source = "a fake total"

    def __init__(self, resolution_ms: int = 0) -> None:
        self.resolution_ms = resolution_ms
        self.blind = 0
        self.polls = 0

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def poll(self) -> None:
        self.polls += 1

    def joules(self, t0_ns: int, t1_ns: int) -> float | None:
        if self.blind:
            self.blind -= 1
            return None
        return None if t1_ns - t0_ns < self.resolution_ms * MS else 10 * (t1_ns - t0_ns) / 1e9


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    for name in ("alive", "started"):
        monkeypatch.setattr(FakeWorker, name, [])
    for name in ("answers", "broken", "peaks"):
        monkeypatch.setattr(FakeWorker, name, {})
    monkeypatch.setattr(workers, "BenchWorker", FakeWorker)
    monkeypatch.setattr(workers, "SETTLE_S", 0.0)
    available(monkeypatch, 3 * PEAK)
    return FakeWorker


def available(monkeypatch: pytest.MonkeyPatch, size_bytes: float) -> None:
    memory = SimpleNamespace(available=size_bytes)
    monkeypatch.setattr(workers.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(workers, "memory_headroom_bytes", lambda: None)


def work(_encode: object) -> Work:
    return Work(
        Job(prefills=((16, 1.0),), answer_len=10, measured_len=3),
        {
            "prefill of 16": Cell(kind="prefill", tokens=16),
            "copying": Cell(kind="text", tokens=3, prompt=(1,)),
            "free text": Cell(kind="text", tokens=3, prompt=(1,)),
        },
    )


def device(limit_bytes: int | None = None, gauge: FakeGauge | None = None) -> WorkerDevice:
    return WorkerDevice(
        Path("package"),
        DEFAULT,
        work,
        context_len=64,
        memory_limit_bytes=limit_bytes,
        gauge=gauge,  # type: ignore[arg-type]
    )


def test_workers_stay_open_while_they_take_turns(fake: type[FakeWorker]) -> None:
    with device() as opened:
        for config in (QUIET, DEFAULT, QUIET, DEFAULT):
            assert opened.measure(config).cost == pytest.approx(0.1 + 10 * 0.010)
        assert fake.started == [DEFAULT, QUIET]
        opened.renew()
        assert fake.alive == []
        opened.measure(QUIET)
        assert fake.started == [DEFAULT, QUIET, QUIET]
    assert fake.alive == []


@pytest.mark.parametrize(("room", "most"), [(0.1, 1), (1.3, 2), (100.0, 6)])
def test_as_many_are_open_as_the_memory_holds(
    fake: type[FakeWorker], monkeypatch: pytest.MonkeyPatch, room: float, most: int
) -> None:
    available(monkeypatch, room * PEAK)
    configs = [EngineConfig(prefill_chunk_len=n) for n in range(1, 9)]
    counts = []
    with device() as opened:
        for config in configs:
            opened.measure(config)
            counts.append(len(fake.alive))
    assert max(counts) == most


def test_another_answer_is_rejected_and_its_worker_ends(fake: type[FakeWorker]) -> None:
    fake.answers[SPECULATING] = (1, 2, 4)
    with device() as opened:
        with pytest.raises(UnsuitableError, match="differs from the default's after 2 of 3 tokens"):
            opened.measure(SPECULATING)
        assert [worker.config for worker in fake.alive] == [DEFAULT]


def test_memory_is_predicted_and_measured(fake: type[FakeWorker]) -> None:
    fake.peaks[SHORT] = PEAK + 10_000_000
    with device(limit_bytes=PEAK + 5_000_000) as opened:
        opened.measure(DEFAULT)
        # 128 rows of logits are 25.6 MB.
        with pytest.raises(UnsuitableError, match=r"predicted to need 426 MB .* limit of 405 MB"):
            opened.measure(SPECULATING)
        assert SPECULATING not in fake.started
        with pytest.raises(UnsuitableError, match="these settings need 410 MB"):
            opened.measure(SHORT)
    with device(limit_bytes=PEAK - 1) as opened, pytest.raises(ResourceError, match="default"):
        opened.measure(DEFAULT)
    assert fake.alive == []


def test_what_cannot_be_loaded_is_rejected_but_not_the_default(fake: type[FakeWorker]) -> None:
    fake.broken[SPECULATING] = EngineError("It has no such graph.")
    with device() as opened, pytest.raises(UnsuitableError, match=r"no such graph$"):
        opened.measure(SPECULATING)
    fake.broken[DEFAULT] = EngineError("It is damaged.")
    with device() as opened, pytest.raises(EngineError, match="damaged"):
        opened.measure(QUIET)
    assert fake.alive == []


def test_joules_are_of_one_piece_of_work() -> None:
    gauge = FakeGauge(resolution_ms=1000)  # of 300 ms of work 4 make a window that is long enough
    with device(gauge=gauge) as opened:
        measured = opened.measure(DEFAULT)
    assert measured.cost == pytest.approx(3.0)
    assert measured.t1_ns - measured.t0_ns == 8 * 300 * MS
    assert gauge.polls > 0


def test_a_sensor_that_fails_is_tried_again_and_never_held_against_settings() -> None:
    gauge = FakeGauge()
    with device(gauge=gauge) as opened:
        opened.measure(DEFAULT)
        gauge.blind = 2
        assert opened.measure(QUIET).cost == pytest.approx(3.0)
        gauge.blind = 1000
        with pytest.raises(SensorError, match="a fake total"):
            opened.measure(QUIET)


def test_a_sensor_that_is_too_coarse_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "now_ns", lambda: FakeWorker.now_ns)
    with (
        device(gauge=FakeGauge(resolution_ms=10**9)) as opened,
        pytest.raises(SensorError, match="too coarse"),
    ):
        opened.measure(DEFAULT)
