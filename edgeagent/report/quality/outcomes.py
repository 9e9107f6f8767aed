"""What became of task runs: solved per category, completed, failed, and the calls they made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from edgeagent.record.outcome import FailureMode, StepKind
from edgeagent.record.run import TaskRecord
from edgeagent.report.interval import Interval
from edgeagent.report.quality.model import CallsPerTask, CategoryResult
from edgeagent.report.stats import paired_difference, wilson_interval

SolvedByCategory: TypeAlias = Mapping[str, Mapping[str, float]]
"""Category to task id to the share of its repetitions that were solved."""


def solved_by_category(tasks: Iterable[TaskRecord]) -> SolvedByCategory:
    """Return the shares of solved repetitions of one paradigm, categories in order of name."""
    found: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for task in tasks:
        found[task.category][task.task_id].append(task.solved)
    return {
        category: {task_id: sum(solved) / len(solved) for task_id, solved in tasks_of.items()}
        for category, tasks_of in sorted(found.items())
    }


def category_results(
    tasks: Sequence[TaskRecord], reference: Sequence[TaskRecord] | None, seed: int = 0
) -> dict[str, CategoryResult]:
    """Return what one paradigm solved of each category.

    Args:
        tasks: Its task runs.
        reference: Those of the paradigm that it is compared with, `None` for that one itself.
        seed: Seed of the bootstrap.
    """
    attempts = Counter(task.category for task in tasks)
    solved = Counter(task.category for task in tasks if task.solved)
    base = {} if reference is None else solved_by_category(reference)
    return {
        category: CategoryResult(
            solved=solved[category],
            attempts=attempts[category],
            tasks=len(shares),
            solved_rate=sum(shares.values()) / len(shares),
            solved_interval=wilson_interval(sum(shares.values()), len(shares)),
            difference=paired_difference(
                shares, base.get(category, {}), higher_is_better=True, seed=seed
            ),
        )
        for category, shares in solved_by_category(tasks).items()
    }


@dataclass(frozen=True, slots=True)
class Share:
    """A share of task runs, with its 95 % Wilson interval over tasks."""

    rate: float
    interval: Interval | None


def completion(tasks: Sequence[TaskRecord]) -> tuple[Share, Share]:
    """Return the shares of completed task runs, with and without the fallback's help."""
    return (
        _share(tasks, lambda task: task.outcome.completed),
        _share(tasks, lambda task: task.outcome.completed_unaided),
    )


def _share(tasks: Sequence[TaskRecord], counts: Callable[[TaskRecord], bool]) -> Share:
    by_task: dict[str, list[bool]] = defaultdict(list)
    for task in tasks:
        by_task[task.task_id].append(counts(task))
    shares = [sum(found) / len(found) for found in by_task.values()]
    return Share(
        rate=sum(map(counts, tasks)) / len(tasks),
        interval=wilson_interval(sum(shares), len(shares)),
    )


def failure_modes(tasks: Sequence[TaskRecord]) -> dict[str, int]:
    """Return the number of task runs per failure mode, most frequent first."""
    modes = Counter(
        task.outcome.failure.value for task in tasks if task.outcome.failure is not None
    )
    return dict(modes.most_common())


def calls_per_task(tasks: Sequence[TaskRecord]) -> CallsPerTask:
    """Count the calls of at least one task run."""
    steps = [step for task in tasks for step in task.outcome.steps]
    unreadable = sum(task.outcome.failure is FailureMode.PROTOCOL_VIOLATION for task in tasks)
    return CallsPerTask(
        made=sum(step.kind is StepKind.CALL for step in steps) / len(tasks),
        failed=sum(step.kind is StepKind.OBSERVATION and step.failed for step in steps)
        / len(tasks),
        unreadable=unreadable / len(tasks),
    )
