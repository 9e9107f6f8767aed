"""Reading counters where spans begin and end, in the measured process itself.

The sampler reads ten times a second, and a span of a tenth of a second needs better edges than
that. A cumulative counter that is cheap to read gives them: two readings at the edges are the
energy of the span, whatever happened in between::

    reader = EdgeReader(discover(os.getpid(), SystemTree(read=HeldFiles())).meters)
    recorder = Recorder(edges=reader)
    ...
    if (batch := reader.batch(config, session)) is not None:  # between two tasks
        jsonl.append(folder / "edges.jsonl", batch)
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.meter.protocol import Meter, MeterError
from edgeagent.meter.sampler.failures import FailureLog
from edgeagent.record.run import RunConfig, SampleBatch
from edgeagent.record.samples import ReadFailure, Sample, SampleKind
from edgeagent.record.spans import SpanKind

_PROBES = 5


@dataclass(frozen=True, slots=True)
class EdgeBudget:
    """What reading at edges may cost.

    Attributes:
        min_gap_s: Edges that follow the last reading sooner than this are skipped: counters move
            about once a millisecond, so a second reading would only repeat the first.
        max_read_s: A source that takes longer to read is left to the sampler.
        share: Share of the time that readings may take; with many counters the gap grows.
        max_samples: Readings kept until they are taken away; what does not fit is counted.
    """

    min_gap_s: float = 0.001
    max_read_s: float = 100e-6
    share: float = 0.005
    max_samples: int = 100_000


class EdgeReader:
    """An `EdgeListener` that reads the cheap counters at the edges of spans.

    Attributes:
        meters: Those that are read: cumulative counters without a minimum interval that answered
            within the budget when they were tried.
        skipped: Edges at which nothing was read, because a reading was young enough.
        dropped: Readings that were lost because nobody took the earlier ones away.
    """

    def __init__(self, meters: Iterable[Meter], budget: EdgeBudget = EdgeBudget()) -> None:
        """Choose among `meters` by reading each a few times."""
        self._budget = budget
        chosen: list[Meter] = []
        cost_ns = 0.0
        for meter in meters:
            if meter.info.kind is SampleKind.COUNTER and meter.min_interval_s <= 0:
                read_ns = _typical_read_ns(meter)
                if read_ns is not None and read_ns <= budget.max_read_s * NS_PER_S:
                    chosen.append(meter)
                    cost_ns += read_ns
        self.meters: tuple[Meter, ...] = tuple(chosen)
        self._min_gap_ns = max(budget.min_gap_s * NS_PER_S, cost_ns / budget.share)
        self._last_ns: int | None = None
        self._samples: list[Sample] = []
        self._failures: list[ReadFailure] = []
        self._failure_log = FailureLog()
        self._last_by_source_ns: dict[str, int] = {}
        self.skipped = self.dropped = 0

    def on_edge(self, kind: SpanKind, *, entering: bool) -> None:
        """Read every counter, unless the last reading is too young to differ."""
        if not self.meters:
            return
        if self._last_ns is not None and now_ns() - self._last_ns < self._min_gap_ns:
            self.skipped += 1
            return
        self.read()

    def read(self) -> None:
        """Read every counter now, such as before the first span and behind the last."""
        room = self._budget.max_samples - len(self._samples)
        if room < len(self.meters):
            self.dropped += len(self.meters)
            self._last_ns = now_ns()
            return
        for meter in self.meters:
            try:
                sample = meter.read()
            except MeterError as error:
                self._note_failure(meter, error)
                continue
            self._failure_log.succeed(sample.source)
            self._samples.append(sample)
        self._last_ns = now_ns()

    def drain(self) -> tuple[Sample, ...]:
        """Return the readings since the last call, and forget them."""
        samples, self._samples = tuple(self._samples), []
        return samples

    def batch(self, config: RunConfig, session: int) -> SampleBatch | None:
        """Return what was read and what failed since the last call; `None` if there is nothing.

        Args:
            config: Configuration of the run.
            session: Number of the process within the run, as the sampler's.
        """
        samples = self.drain()
        failures, self._failures = tuple(self._failures), []
        if not samples and not failures:
            return None
        gaps_ns = self._take_gaps(samples)
        sources = self._failure_log.news(meter.info for meter in self.meters)
        return SampleBatch(
            config=config,
            session=session,
            sources=sources,
            samples=samples,
            failures=failures,
            largest_gap_ns=max(gaps_ns.values(), default=0),
            gaps_ns=gaps_ns,
        )

    def _note_failure(self, meter: Meter, error: MeterError) -> None:
        failure = self._failure_log.fail(meter.info.source, now_ns(), error.state, error.reason)
        if failure is not None:
            self._failures.append(failure)

    def _take_gaps(self, samples: tuple[Sample, ...]) -> dict[str, int]:
        gaps_ns: dict[str, int] = {}
        for sample in samples:
            last_ns = self._last_by_source_ns.get(sample.source)
            if last_ns is not None:
                gap_ns = sample.t_ns - last_ns
                gaps_ns[sample.source] = max(gaps_ns.get(sample.source, 0), gap_ns)
            self._last_by_source_ns[sample.source] = sample.t_ns
        return gaps_ns


def _typical_read_ns(meter: Meter) -> float | None:
    """Return the median duration of a few readings, `None` if one fails."""
    durations_ns = []
    for _ in range(_PROBES):
        t0_ns = now_ns()
        try:
            meter.read()
        except MeterError:
            return None
        durations_ns.append(now_ns() - t0_ns)
    return statistics.median(durations_ns)
