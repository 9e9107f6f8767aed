"""The device: one worker process per setting, several of them open while they take turns."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from edgeagent.clock import NS_PER_S, now_ns, to_seconds
from edgeagent.config.cgroup import memory_headroom_bytes
from edgeagent.config.run import EngineConfig
from edgeagent.errors import EngineError, ResourceError
from edgeagent.profiling.bench.client import BenchWorker
from edgeagent.profiling.energy_gauge import EnergyGauge
from edgeagent.profiling.tune.device import Measured, UnsuitableError
from edgeagent.profiling.tune.work import Work, first_difference
from edgeagent.record.bench import MemoryReading, Reading

SETTLE_S = 0.1
"""Threads of a worker busy-wait for about 40 ms after their last work, see `allow_spinning`."""
MAX_OPEN = 6
_MEMORY_SHARE = 0.8
"""Of the available memory that workers may take together."""
_RESOLVE_S = 120
"""Longest search for a number of repetitions whose energy the sensors resolve."""
_SENSOR_TRIES = 3
_FLOAT32_BYTES = 4

MakeWork = Callable[[Callable[[str], tuple[int, ...]]], Work]
"""Makes the work with a package's tokenizer."""

Readings = Mapping[str, Reading]


class SensorError(EngineError):
    """The energy of a piece of work could not be read, which no setting is to blame for."""


class WorkerDevice:
    """Measures settings on this device.

    Attributes:
        rss_peak_bytes: Of the default settings, `None` before they were measured.
    """

    def __init__(
        self,
        package: Path,
        default: EngineConfig,
        make_work: MakeWork,
        *,
        context_len: int,
        memory_limit_bytes: int | None = None,
        gauge: EnergyGauge | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            package: Folder of the package.
            default: Settings whose answers all others must give.
            make_work: Makes the work.
            context_len: Tokens of every KV cache.
            memory_limit_bytes: Most resident memory of a worker.
            gauge: Measures joules, which then are the cost; seconds without it.
        """
        self._package = package
        self._default = default
        self._make_work = make_work
        self._context_len = context_len
        self._limit_bytes = memory_limit_bytes
        self._gauge = gauge
        self._open: OrderedDict[EngineConfig, BenchWorker] = OrderedDict()
        self._work: Work | None = None
        self._answers: dict[str, tuple[int, ...]] | None = None
        self._repeat = 1
        self._capacity = 1
        self._vocab_size = 0
        self.rss_peak_bytes: int | None = None

    def __enter__(self) -> WorkerDevice:
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all workers, at once if something went wrong."""
        self._close_all(at_once=exc_type is not None)

    def renew(self) -> None:
        """End all workers; new ones are started when they are needed."""
        self._close_all(at_once=False)

    def measure(self, config: EngineConfig) -> Measured:
        """Do the work once.

        Raises:
            UnsuitableError: These settings cannot be loaded, answer otherwise than the default, or
                need more memory than allowed.
            EngineError: The default cannot be run, or the energy not be read.
        """
        try:
            if self._answers is None and config != self._default:
                self._worker(self._default)
            worker = self._worker(config)
            return self._measure(worker, config)
        except SensorError:
            raise
        except UnsuitableError:
            self._close(config)
            raise
        except (EngineError, ResourceError) as error:
            self._close(config)
            if config == self._default or self._answers is None:
                raise
            raise UnsuitableError(str(error).rstrip(".")) from error

    def _worker(self, config: EngineConfig) -> BenchWorker:
        """Return the worker of these settings, warmed up and looked at when it is new."""
        if config in self._open:
            self._open.move_to_end(config)
            return self._open[config]
        self._require_memory(config, self._predicted_bytes(config), "are predicted to need")
        while len(self._open) >= self._capacity:
            self._close(next(iter(self._open)))
        worker = BenchWorker(self._package, config, context_len=self._context_len)
        worker.__enter__()
        self._open[config] = worker
        loaded = worker.load()
        if self._work is None:
            self._vocab_size = loaded.vocab_size
            self._work = self._make_work(worker.encode)
        readings = self._run(worker, self._work)
        self._inspect(config, readings)
        return worker

    def _inspect(self, config: EngineConfig, readings: Readings) -> None:
        """Check answers and memory of a new worker; the default's become the reference."""
        peak = _peak_bytes(readings)
        self._require_memory(config, peak, "need")
        assert self._work is not None
        answers = {name: readings[name].token_ids for name in self._work.answers}
        if self._answers is None:
            self._answers = answers
            self.rss_peak_bytes = peak
            self._capacity = _capacity(peak)
            if self._gauge is not None:
                self._repeat = self._resolved_repeat(self._gauge, self._open[config])
            return
        for name, expected in self._answers.items():
            same = first_difference(expected, answers.get(name, ()))
            if same is not None:
                raise UnsuitableError(
                    f"the {name} answer differs from the default's after {same} of "
                    f"{len(expected)} tokens"
                )

    def _measure(self, worker: BenchWorker, config: EngineConfig) -> Measured:
        work = self._work
        assert work is not None
        time.sleep(SETTLE_S)
        if self._gauge is None:
            readings: Readings = self._run(worker, work)
            window, cost = _window([readings]), work.cost_s(readings)
        else:
            readings, window, cost = self._with_energy(worker, work, self._gauge)
        peak = _peak_bytes(readings)
        self._require_memory(config, peak, "need")
        return Measured(
            cost=cost,
            t0_ns=window[0],
            t1_ns=window[1],
            parts=work.parts_s(readings),
            rss_peak_bytes=peak,
            drafted=sum(r.drafted for r in readings.values()),
            accepted=sum(r.accepted for r in readings.values()),
        )

    def _with_energy(
        self, worker: BenchWorker, work: Work, gauge: EnergyGauge
    ) -> tuple[Readings, tuple[int, int], float]:
        """Return the last readings, the window of all repetitions, and the joules of one."""
        window = (0, 0)
        for _ in range(_SENSOR_TRIES):
            gauge.begin()
            runs = [self._run(worker, work) for _ in range(self._repeat)]
            gauge.end()
            window = _window(runs)
            joules = gauge.joules(*window)
            if joules is not None and joules > 0:
                return runs[-1], window, joules / self._repeat
        raise SensorError(
            f"The energy of {to_seconds(window[1] - window[0]):.1f} s of work could not be read "
            f"from {gauge.source}; `edgeagent doctor` shows the state of the sensors."
        )

    def _run(self, worker: BenchWorker, work: Work) -> dict[str, Reading]:
        poll = self._gauge.poll if self._gauge is not None else None
        return {name: worker.measure(cell, poll) for name, cell in work.cells.items()}

    def _resolved_repeat(self, gauge: EnergyGauge, worker: BenchWorker) -> int:
        """Return how often the work must be repeated for the sensor to resolve its energy.

        Raises:
            SensorError: No number of repetitions is enough.
        """
        repeat = 1
        assert self._work is not None
        end_ns = now_ns() + _RESOLVE_S * NS_PER_S
        while now_ns() < end_ns:
            gauge.begin()
            runs = [self._run(worker, self._work) for _ in range(repeat)]
            gauge.end()
            if gauge.joules(*_window(runs)) is not None:
                return 2 * repeat  # settings may be twice as fast
            repeat *= 2
        raise SensorError(
            f"{gauge.source} is too coarse or not steady enough to measure the energy of "
            f"{_RESOLVE_S} s of work; choose the goal latency or throughput."
        )

    def _predicted_bytes(self, config: EngineConfig) -> int | None:
        """Return the memory that settings will need, from that of the default.

        Speculation's graph computes the logits of every row of a chunk instead of one.
        """
        if self.rss_peak_bytes is None or config.speculation is None:
            return None
        return self.rss_peak_bytes + config.prefill_chunk_len * self._vocab_size * _FLOAT32_BYTES

    def _require_memory(self, config: EngineConfig, needed_bytes: int | None, verb: str) -> None:
        if self._limit_bytes is None or needed_bytes is None or needed_bytes <= self._limit_bytes:
            return
        what = (
            f"{verb} {needed_bytes / 1e6:,.0f} MB of memory, more than the limit of "
            f"{self._limit_bytes / 1e6:,.0f} MB"
        )
        if config != self._default:
            raise UnsuitableError(f"these settings {what}")
        raise ResourceError(
            f"The default settings {what}; allow more, or choose a shorter context or a smaller "
            "model."
        )

    def _close(self, config: EngineConfig) -> None:
        worker = self._open.pop(config, None)
        if worker is not None:
            worker.close()

    def _close_all(self, *, at_once: bool) -> None:
        while self._open:
            _, worker = self._open.popitem()
            worker.close(at_once=at_once)


def _window(runs: Sequence[Readings]) -> tuple[int, int]:
    """Return when the first of these readings began and the last one ended."""
    readings = [reading for run in runs for reading in run.values()]
    return min(r.t0_ns for r in readings), max(r.t1_ns for r in readings)


def _peak_bytes(readings: Readings) -> int | None:
    memories = [r.memory for r in readings.values() if r.memory is not None]
    peaks = [peak for memory in memories if (peak := _peak_of(memory)) is not None]
    return max(peaks, default=None)


def _peak_of(memory: MemoryReading) -> int | None:
    return memory.rss_peak_bytes if memory.rss_peak_bytes is not None else memory.rss_bytes


def _capacity(peak_bytes: int | None) -> int:
    """Return how many workers may be open at once, the one that is counted in."""
    if not peak_bytes:
        return 2
    available = psutil.virtual_memory().available
    headroom = memory_headroom_bytes()
    if headroom is not None:
        available = min(available, headroom)
    return max(1, min(MAX_OPEN, 1 + int(_MEMORY_SHARE * available / peak_bytes)))
