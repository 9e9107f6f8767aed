"""The sampling loop: reads meters at a steady pace and appends batches to a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from edgeagent.clock import NS_PER_S, now_ns, to_seconds
from edgeagent.meter.protocol import Discovery, Meter, MeterError
from edgeagent.meter.sampler.job import SamplerJob, SamplerSummary
from edgeagent.record import jsonl
from edgeagent.record.run import SampleBatch
from edgeagent.record.samples import ReadFailure, Sample

BATCH_NS = NS_PER_S
"""A batch is written about once a second: a crash loses no more than that."""


class SamplingLoop:
    """Reads every meter once an interval, the slow ones more rarely."""

    def __init__(self, job: SamplerJob, discovery: Discovery) -> None:
        """Prepare to sample the meters of `discovery` into `job.out`."""
        self._job = job
        self._discovery = discovery
        self._out = Path(job.out)
        self._interval_ns = max(1, round(job.interval_s * NS_PER_S))
        self._pending: list[Sample] = []
        self._failures: list[ReadFailure] = []
        self._pending_gap_ns = 0
        self._last_read_ns: dict[str, int] = {}
        self._batches = self._samples = self._largest_gap_ns = 0

    def run(self, stop: Event, is_alive: Callable[[], bool], on_ready: Callable[[], None]) -> None:
        """Sample until `stop` is set or `is_alive` (asked once a batch) says no.

        `on_ready` is called behind the first readings, and the last ones are taken behind the
        stop: so every moment in between has a reading before and a reading after it.

        Raises:
            ResourceError: A batch could not be written; those before it are whole.
        """
        self._tick()
        on_ready()
        batch_ns = due_ns = now_ns()
        while not stop.is_set():
            due_ns = self._next_due(due_ns)
            if stop.wait(to_seconds(max(0, due_ns - now_ns()))):
                break
            self._tick()
            if now_ns() - batch_ns >= BATCH_NS:
                self._flush()
                batch_ns = now_ns()
                if not is_alive():
                    break
        self._tick()
        self._flush()

    def summary(self, wall_s: float, cpu_s: float, error: str = "") -> SamplerSummary:
        """Tell what was done so far."""
        return SamplerSummary(
            batches=self._batches,
            samples=self._samples,
            largest_gap_ns=self._largest_gap_ns,
            wall_s=wall_s,
            cpu_s=cpu_s,
            error=error,
        )

    def _next_due(self, due_ns: int) -> int:
        """Return the next point of the grid; points that were missed are left out, not made up."""
        late_ns = max(0, now_ns() - due_ns)
        return due_ns + (late_ns // self._interval_ns + 1) * self._interval_ns

    def _tick(self) -> None:
        for meter in self._discovery.meters:
            if self._is_due(meter):
                self._read(meter)

    def _is_due(self, meter: Meter) -> bool:
        last_ns = self._last_read_ns.get(meter.info.source)
        if last_ns is None or meter.min_interval_s <= 0:
            return True
        # Half an interval of tolerance, or jitter would double the distance now and then.
        wait_ns = round(meter.min_interval_s * NS_PER_S) - self._interval_ns // 2
        return now_ns() - last_ns >= wait_ns

    def _read(self, meter: Meter) -> None:
        try:
            sample = meter.read()
        except MeterError as error:
            self._failures.append(
                ReadFailure(
                    source=meter.info.source, t_ns=now_ns(), state=error.state, reason=error.reason
                )
            )
            return
        last_ns = self._last_read_ns.get(sample.source)
        if last_ns is not None and meter.min_interval_s <= 0:
            self._pending_gap_ns = max(self._pending_gap_ns, sample.t_ns - last_ns)
        self._last_read_ns[sample.source] = sample.t_ns
        self._pending.append(sample)

    def _flush(self) -> None:
        if not self._pending and not self._failures:
            return
        batch = SampleBatch(
            config=self._job.config,
            session=self._job.session,
            sources=self._discovery.sources,
            samples=tuple(self._pending),
            failures=tuple(self._failures),
            largest_gap_ns=self._pending_gap_ns,
        )
        jsonl.append(self._out, batch)
        self._batches += 1
        self._samples += len(self._pending)
        self._largest_gap_ns = max(self._largest_gap_ns, self._pending_gap_ns)
        self._pending.clear()
        self._failures.clear()
        self._pending_gap_ns = 0


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
