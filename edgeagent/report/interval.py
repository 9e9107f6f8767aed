"""Intervals, spreads and verdicts: the statistical records that figures carry."""

from __future__ import annotations

from enum import StrEnum

from edgeagent.record.base import Record


class Verdict(StrEnum):
    """What a paired comparison allows to say."""

    BETTER = "better"
    WORSE = "worse"
    NOT_DISTINGUISHABLE = "not_distinguishable"


class Interval(Record):
    """A 95 % interval."""

    low: float
    high: float


class Spread(Record):
    """How a figure is distributed over task runs.

    Attributes:
        n: Task runs that have the figure.
        mean: Arithmetic mean.
        median: Middle value.
        p25: Lower quartile.
        p75: Upper quartile.
    """

    n: int
    mean: float
    median: float
    p25: float
    p75: float


class Difference(Record):
    """A paired difference to the reference paradigm, over tasks.

    Attributes:
        mean: Mean of the differences, in the unit of the figure.
        interval: 95 % bootstrap interval, `None` with fewer than two tasks.
        tasks: Tasks that both paradigms were measured on.
        verdict: Better, worse or not distinguishable.
    """

    mean: float
    interval: Interval | None
    tasks: int
    verdict: Verdict
