"""Metrics of one task run: pure functions on its spans and on the samples taken meanwhile.

Nothing here is computed while a run is measured, so an old run folder can be analysed again.
`docs/metrics.md` has the formulas, units and known biases; the names here are the names there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.clock import to_seconds
from edgeagent.record.run import TaskRecord
from edgeagent.record.samples import Sample
from edgeagent.record.spans import Span, SpanKind, Trace
from edgeagent.report.energy.run import task_joules
from edgeagent.report.load import Run
from edgeagent.report.sessions import SampleSession, session_of

RSS_SOURCE = "process:rss"
RSS_ANON_SOURCE = "process:rss_anon"
RSS_FILE_SOURCE = "process:rss_file"
_PHASES = (SpanKind.PREFILL, SpanKind.DECODE, SpanKind.TOOL)


@dataclass(frozen=True, slots=True)
class Phases:
    """Where the time of a task went; the four parts add up to the task exactly, in nanoseconds."""

    prefill_ns: int
    decode_ns: int
    tool_ns: int
    overhead_ns: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of a task over all its agents and turns.

    Attributes:
        tokens_in: Prompt tokens of all turns, whatever the cache already held.
        cached: The part of `tokens_in` that was reused from the KV cache.
        out: Generated tokens, forced ones included.
        forced: The part of `out` that a grammar left no choice about.
    """

    tokens_in: int
    cached: int
    out: int
    forced: int

    @property
    def prefilled(self) -> int:
        """Prompt tokens that were run through the model."""
        return self.tokens_in - self.cached

    @property
    def sampled(self) -> int:
        """Generated tokens that the model chose, one decode step each."""
        return self.out - self.forced


@dataclass(frozen=True, slots=True)
class Rate:
    """A quotient whose parts are kept, so that a pool of tasks divides sums instead of averaging.

    Attributes:
        amount: Numerator.
        per: Denominator.
    """

    amount: float
    per: float

    @property
    def value(self) -> float | None:
        """The quotient, `None` where there is nothing to divide by."""
        return self.amount / self.per if self.per > 0 else None


def pooled(rates: Sequence[Rate]) -> float | None:
    """Return the quotient of the sums, `None` where there is nothing to divide by."""
    return Rate(sum(rate.amount for rate in rates), sum(rate.per for rate in rates)).value


@dataclass(frozen=True, slots=True)
class TaskMetrics:
    """Everything measured about one task run; `None` is not measured, 0 is a measured zero.

    `energy_j` is that of the run's headline total, gross, and `None` also where the readings do not
    resolve a single task run.
    """

    task: TaskRecord
    e2e_s: float
    ttft_s: float | None
    tpot_s: Rate
    prefill_tok_per_s: Rate
    decode_tok_per_s: Rate
    phases: Phases
    tokens: Tokens
    tool_calls: int
    rss_peak_bytes: float | None
    rss_anon_peak_bytes: float | None
    rss_file_peak_bytes: float | None
    energy_j: float | None


def task_metrics(task: TaskRecord, run: Run) -> TaskMetrics:
    """Compute the metrics of one task run from its spans and the samples of its time window."""
    trace = task.spans
    window = (trace[0].t0_ns, trace[0].t1_ns)
    session = session_of(run.sessions, *window)
    phases, tokens = phases_of(trace), tokens_of(trace)
    return TaskMetrics(
        task=task,
        e2e_s=to_seconds(trace[0].duration_ns),
        ttft_s=ttft_s(trace),
        tpot_s=tpot_s(trace),
        prefill_tok_per_s=Rate(tokens.prefilled, to_seconds(phases.prefill_ns)),
        decode_tok_per_s=Rate(tokens.sampled, to_seconds(phases.decode_ns)),
        phases=phases,
        tokens=tokens,
        tool_calls=sum(span.kind is SpanKind.TOOL for span in trace),
        rss_peak_bytes=peak(session, RSS_SOURCE, *window),
        rss_anon_peak_bytes=peak(session, RSS_ANON_SOURCE, *window),
        rss_file_peak_bytes=peak(session, RSS_FILE_SOURCE, *window),
        energy_j=task_joules(run).get((task.task_id, task.paradigm, task.repetition)),
    )


def phases_of(trace: Trace) -> Phases:
    """Attribute every nanosecond of the task to the innermost span that was running.

    A span's own time is its length minus its children's, so nothing counts twice when a tool runs
    a model; what belongs to no prefill, decode or tool span is overhead.
    """
    own_ns = {span.id: span.duration_ns for span in trace}
    for span in trace:
        if span.parent_id is not None:
            own_ns[span.parent_id] -= span.duration_ns
    by_kind = {
        kind: sum(own_ns[span.id] for span in trace if span.kind is kind) for kind in _PHASES
    }
    return Phases(
        prefill_ns=by_kind[SpanKind.PREFILL],
        decode_ns=by_kind[SpanKind.DECODE],
        tool_ns=by_kind[SpanKind.TOOL],
        overhead_ns=trace[0].duration_ns - sum(by_kind.values()),
    )


def tokens_of(trace: Trace) -> Tokens:
    """Add up the token counts of all spans."""
    return Tokens(
        tokens_in=sum(span.tokens_in for span in trace),
        cached=sum(span.tokens_cached for span in trace),
        out=sum(span.tokens_out for span in trace),
        forced=sum(span.tokens_forced for span in trace),
    )


def ttft_s(trace: Trace) -> float | None:
    """Return the time from the task's start to the first generated token of any agent.

    `None` if no token was generated or no token times were recorded.
    """
    first = next((span for span in _decodes(trace) if span.tokens_out), None)
    if first is None or not first.token_t_ns:
        return None
    return to_seconds(first.token_t_ns[0] - trace[0].t0_ns)


def tpot_s(trace: Trace) -> Rate:
    """Return seconds between generated tokens, over all decode spans of a task.

    Of each decode span: the time from its first to its last token, over its sampled tokens minus
    one. Forced tokens cost no decode step of their own and so do not count as tokens.
    """
    elapsed_ns = steps = 0
    for span in _decodes(trace):
        sampled_after_first = span.tokens_out - span.tokens_forced - 1
        if sampled_after_first > 0 and len(span.token_t_ns) == span.tokens_out:
            elapsed_ns += span.token_t_ns[-1] - span.token_t_ns[0]
            steps += sampled_after_first
    return Rate(to_seconds(elapsed_ns), steps)


def _decodes(trace: Trace) -> list[Span]:
    spans = [span for span in trace if span.kind is SpanKind.DECODE]
    return sorted(spans, key=lambda span: span.t0_ns)


def peak(session: SampleSession | None, source: str, t0_ns: int, t1_ns: int) -> float | None:
    """Return the largest reading of a source within the window, `None` if there was none."""
    if session is None:
        return None
    series = session.samples.get(source, ())
    first = bisect_left(series, t0_ns, key=_time)
    last = bisect_right(series, t1_ns, key=_time)
    return max((sample.value for sample in series[first:last]), default=None)


def _time(sample: Sample) -> int:
    return sample.t_ns
