"""A quantity over rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from edgeagent.report.bench.model import Figure
from edgeagent.report.stats import bootstrap_interval


def figure(values: Sequence[float], seed: int) -> Figure:
    """Summarize at least one value; each is that of a round.

    Repetitions within a round share a process and are no independent measurements, so they are
    pooled into the round's value before and narrow nothing here.
    """
    return Figure(
        n=len(values),
        median=median(values),
        mean=math.fsum(values) / len(values),
        interval=bootstrap_interval(values, seed),
    )
