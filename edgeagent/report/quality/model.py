"""The records of quality in `summary.json`."""

from __future__ import annotations

from edgeagent.record.base import Record
from edgeagent.report.interval import Difference, Interval


class CategoryResult(Record):
    """What one paradigm solved of one category.

    Attributes:
        solved: Solved task runs.
        attempts: Task runs, repetitions included.
        tasks: Different tasks.
        solved_rate: Mean over tasks of the share of solved repetitions.
        solved_interval: 95 % Wilson interval of `solved_rate` over tasks.
        difference: Paired difference of `solved_rate` to the reference; `None` for the reference.
    """

    solved: int
    attempts: int
    tasks: int
    solved_rate: float
    solved_interval: Interval | None
    difference: Difference | None


class RelativeQuality(Record):
    """Normalized relative quality, as in the study.

    Attributes:
        mean: Mean over categories of (s - s_base) / (|s_base| + epsilon).
        interval: 95 % bootstrap interval of `mean`, tasks drawn within their categories; `None` if
            a category has fewer than two.
        epsilon: Keeps the quotient finite where the base model solved nothing.
        categories: The quotient of each category.
        base_solved_none: Categories of which the base model solved nothing: their quotient is
            s / epsilon, so its size is chosen with epsilon.
    """

    mean: float
    interval: Interval | None
    epsilon: float
    categories: dict[str, float]
    base_solved_none: tuple[str, ...]


class CallsPerTask(Record):
    """Calls of tools and functions, means per task run.

    Attributes:
        made: Calls that were read from a turn.
        failed: Calls that a tool refused or that failed.
        unreadable: Turns that were neither valid calls nor an answer and so ended an attempt.
    """

    made: float
    failed: float
    unreadable: float
