"""The sampling loop: reads meters at a steady pace and appends batches to a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edgeagent.clock import NS_PER_S, now_ns, to_seconds
from edgeagent.meter.protocol import Discovery, Meter, MeterError
from edgeagent.meter.sampler.failures import FailureLog
from edgeagent.meter.sampler.job import SamplerJob, SamplerSummary
from edgeagent.meter.sampler.pace import WAKE_NS, Grid, SourcePace, Thrift
from edgeagent.meter.sampler.stop import Stop
from edgeagent.record import jsonl
from edgeagent.record.run import SampleBatch
from edgeagent.record.samples import ReadFailure, Sample, SourceState

BATCH_NS = NS_PER_S
"""A batch is written about once a second: a crash loses no more than that."""

_ASK_BATCHES = 5

_FINE_CLOCK_S = 1e-4
"""Windows counts a thread's time in steps of 16 ms: too coarse for one reading."""


def reading_cost_clock() -> Callable[[], int]:
    """Return the clock, in ns, that tells what one reading costs.

    Processor time of this thread where it is fine enough, else wall time, which also counts
    waiting: readings that wait are then slowed more than they would have to be.
    """
    try:
        if time.get_clock_info("thread_time").resolution <= _FINE_CLOCK_S:
            return time.thread_time_ns
    except (OSError, ValueError):  # not offered by every system
        pass
    return now_ns


class SamplingLoop:
    """Reads every meter on a common grid, each as often as its `SourcePace` says."""

    def __init__(self, job: SamplerJob, discovery: Discovery) -> None:
        """Prepare to sample the meters of `discovery` into `job.out`."""
        self._job = job
        self._sources = discovery.sources
        self._out = Path(job.out)
        self._grid = Grid(now_ns(), max(1, round(job.interval_s * NS_PER_S)))
        self._lanes = [
            (meter, SourcePace(meter.info, self._grid, job.cpu_share)) for meter in discovery.meters
        ]
        self._cost_ns = reading_cost_clock()
        self._thrift = Thrift(job.cpu_share)
        self._failures = FailureLog()
        self._gaps = _Gaps()
        self._pending: list[Sample] = []
        self._pending_failures: list[ReadFailure] = []
        self._batches = self._samples = 0
        self._accounted = Stopwatch()

    def run(self, stop: Stop, is_alive: Callable[[], bool], on_ready: Callable[[], None]) -> None:
        """Sample until `stop` is set or `is_alive` (asked now and then) says no.

        `on_ready` is called behind the first readings, and the last ones are taken behind the
        stop: so every moment in between has a reading before and a reading after it. Only sources
        that are dear to read and tell no energy do without the last one.

        Raises:
            ResourceError: A batch could not be written; those before it are whole.
        """
        followers = self._tick(self._grid.origin_ns)
        self._thrift.expect(self._expected_share)
        for meter, pace in self._lanes:
            pace.succeeded(self._grid.origin_ns, meter.min_interval_s, self._thrift.stretch)
        for follower, leader in followers:
            follower.follow(leader)
        on_ready()
        self._accounted = Stopwatch()  # what came before belongs to the start
        batch_ns = now_ns()
        while not stop.is_set():
            tick_ns = self._next_tick()
            if stop.wait(to_seconds(max(0, tick_ns - now_ns()))):
                break
            self._tick(tick_ns)
            if now_ns() - batch_ns >= BATCH_NS:
                has_failed = bool(self._pending_failures)
                self._flush()
                batch_ns = now_ns()
                # Asking costs as much as ten readings, and those of a process that is gone fail.
                if (has_failed or self._batches % _ASK_BATCHES == 0) and not is_alive():
                    break
        for meter, pace in self._lanes:
            if pace.is_worth_a_last_look:
                self._read(meter, pace, now_ns())
        self._flush()

    def summary(self, wall_s: float, cpu_s: float, error: str = "") -> SamplerSummary:
        """Tell what was done so far."""
        return SamplerSummary(
            batches=self._batches,
            samples=self._samples,
            failures=self._failures.failed,
            largest_gap_ns=self._gaps.largest_ns,
            gaps_ns=self._gaps.largest_by_source_ns,
            stretch=self._thrift.largest_stretch,
            wall_s=wall_s,
            cpu_s=cpu_s,
            error=error,
        )

    def _expected_share(self, stretch: float) -> float:
        shares = (pace.cost_share(meter.min_interval_s, stretch) for meter, pace in self._lanes)
        return sum(shares) + WAKE_NS / self._grid.base_ns

    def _next_tick(self) -> int:
        """Return when to wake up: as soon as a source is due, at least once a batch.

        Points of the grid that were missed are left out, not made up for.
        """
        next_ns = self._grid.after(now_ns(), self._grid.base_ns)
        due_ns = min((pace.due_ns for _, pace in self._lanes), default=next_ns + BATCH_NS)
        return max(next_ns, min(due_ns, self._grid.after(next_ns + BATCH_NS, self._grid.base_ns)))

    def _tick(self, tick_ns: int) -> list[tuple[SourcePace, SourcePace]]:
        """Read what is due; return the paces that follow another one, with that one."""
        followers = []
        looks: dict[tuple[int, int], SourcePace] = {}
        for meter, pace in self._lanes:
            if pace.due_ns <= tick_ns:
                sample = self._read(meter, pace, tick_ns)
                if sample is not None:  # values of one look at a file have its time to the ns
                    leader = looks.setdefault((sample.t_ns, sample.width_ns), pace)
                    if leader is not pace:
                        pace.follow(leader)
                        followers.append((pace, leader))
        return followers

    def _read(self, meter: Meter, pace: SourcePace, tick_ns: int) -> Sample | None:
        source = meter.info.source
        cost_ns, t0_ns = self._cost_ns(), now_ns()
        state, reason = SourceState.OK, ""
        try:
            sample = meter.read()
        except MeterError as error:
            state, reason = error.state, error.reason
        except Exception as error:  # one bad source must not cost the others
            state, reason = SourceState.UNSUPPORTED, f"{type(error).__name__}: {error}"
        t1_ns = now_ns()
        pace.learn(cost_ns=self._cost_ns() - cost_ns, wait_ns=t1_ns - t0_ns)
        min_interval_s, stretch = meter.min_interval_s, self._thrift.stretch
        if state is not SourceState.OK:
            pace.failed(tick_ns, min_interval_s, stretch, state)
            failure = self._failures.fail(source, (t0_ns + t1_ns) // 2, state, reason)
            if failure is not None:
                self._pending_failures.append(failure)
            return None
        pace.succeeded(tick_ns, min_interval_s, stretch)
        self._failures.succeed(source)
        self._gaps.note(source, sample.t_ns, every_interval=min_interval_s <= 0)
        self._pending.append(sample)
        return sample

    def _flush(self) -> None:
        cpu_s, wall_s = self._accounted.cpu_s, self._accounted.wall_s
        self._accounted = Stopwatch()
        self._thrift.account(cpu_s, wall_s)
        if not self._pending and not self._pending_failures:
            return
        largest_gap_ns, gaps_ns = self._gaps.take()
        batch = SampleBatch(
            config=self._job.config,
            session=self._job.session,
            sources=self._failures.news(self._sources),
            samples=tuple(self._pending),
            failures=tuple(self._pending_failures),
            largest_gap_ns=largest_gap_ns,
            gaps_ns=gaps_ns,
            stretch=round(self._thrift.stretch, 3),
            cpu_s=cpu_s,
        )
        jsonl.append(self._out, batch)
        self._batches += 1
        self._samples += len(self._pending)
        self._pending.clear()
        self._pending_failures.clear()


class _Gaps:
    """Longest times between two readings: of the batch, and of all."""

    def __init__(self) -> None:
        self._last_ns: dict[str, int] = {}
        self._batch_ns: dict[str, int] = {}
        self._batch_largest_ns = 0
        self.largest_by_source_ns: dict[str, int] = {}
        self.largest_ns = 0

    def note(self, source: str, t_ns: int, *, every_interval: bool) -> None:
        """Note a reading at `t_ns`; the sources of `every_interval` share `largest_ns`."""
        last_ns = self._last_ns.get(source)
        self._last_ns[source] = t_ns
        if last_ns is None:
            return
        gap_ns = t_ns - last_ns
        self._batch_ns[source] = max(self._batch_ns.get(source, 0), gap_ns)
        if every_interval:
            self._batch_largest_ns = max(self._batch_largest_ns, gap_ns)

    def take(self) -> tuple[int, dict[str, int]]:
        """Return what was largest since the last call, of all such sources and of each."""
        largest_ns, gaps_ns = self._batch_largest_ns, self._batch_ns
        self.largest_ns = max(self.largest_ns, largest_ns)
        for source, gap_ns in gaps_ns.items():
            self.largest_by_source_ns[source] = max(
                self.largest_by_source_ns.get(source, 0), gap_ns
            )
        self._batch_largest_ns, self._batch_ns = 0, {}
        return largest_ns, gaps_ns


class Stopwatch:
    """Wall and processor time of this process since it was made."""

    def __init__(self) -> None:
        """Start."""
        self._wall_ns = now_ns()
        self._cpu_s = time.process_time()

    @property
    def wall_s(self) -> float:
        """Seconds since the start."""
        return to_seconds(now_ns() - self._wall_ns)

    @property
    def cpu_s(self) -> float:
        """Processor seconds used since the start."""
        return time.process_time() - self._cpu_s
