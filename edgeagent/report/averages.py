"""Means over the task runs of a paradigm: seconds per phase, tokens, and how repetitions agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from edgeagent.clock import to_seconds
from edgeagent.record.repetitions import Timing, repetition_intervals
from edgeagent.report.metrics import TaskMetrics
from edgeagent.report.model import PhaseSeconds, Repetitions, TokensPerTask

Figure = Callable[[TaskMetrics], float | None]
"""Reads a figure of one task run, `None` where it was not measured."""


def by_task(group: Sequence[TaskMetrics], figure: Figure) -> dict[str, float]:
    """Return the mean of a figure over the repetitions of each task, unmeasured ones left out."""
    values: dict[str, list[float]] = defaultdict(list)
    for metrics in group:
        if (value := figure(metrics)) is not None:
            values[metrics.task.task_id].append(value)
    return {task_id: sum(found) / len(found) for task_id, found in values.items()}


def repetitions(group: Sequence[TaskMetrics]) -> Repetitions | None:
    """Return how well complete repetitions agree, `None` if there is none."""
    timings = (Timing(m.task.task_id, m.task.paradigm, m.task.repetition, m.e2e_s) for m in group)
    found = next(iter(repetition_intervals(timings).values()), None)
    return (
        None
        if found is None
        else Repetitions(count=found.repetitions, half_width_s=found.half_width_s)
    )


def phases_s(group: Sequence[TaskMetrics]) -> PhaseSeconds:
    """Return the mean seconds of a task run in each phase."""

    def mean_s(part: Callable[[TaskMetrics], int]) -> float:
        return to_seconds(sum(part(metrics) for metrics in group)) / len(group)

    return PhaseSeconds(
        prefill=mean_s(lambda metrics: metrics.phases.prefill_ns),
        decode=mean_s(lambda metrics: metrics.phases.decode_ns),
        tool=mean_s(lambda metrics: metrics.phases.tool_ns),
        overhead=mean_s(lambda metrics: metrics.phases.overhead_ns),
    )


def tokens_per_task(group: Sequence[TaskMetrics]) -> TokensPerTask:
    """Return the mean token counts of a task run."""

    def mean(part: Callable[[TaskMetrics], int]) -> float:
        return sum(part(metrics) for metrics in group) / len(group)

    return TokensPerTask(
        tokens_in=mean(lambda metrics: metrics.tokens.tokens_in),
        cached=mean(lambda metrics: metrics.tokens.cached),
        prefilled=mean(lambda metrics: metrics.tokens.prefilled),
        out=mean(lambda metrics: metrics.tokens.out),
        forced=mean(lambda metrics: metrics.tokens.forced),
        decoded=mean(lambda metrics: metrics.tokens.sampled),
    )
