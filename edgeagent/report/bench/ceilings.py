"""The device's limits by round, and over all rounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from edgeagent.record.bench import CeilingReading
from edgeagent.report.bench.figures import figure
from edgeagent.report.bench.model import CeilingSummary

READ, INTEGER, KERNEL = "read:", ("matmul:u8s8", "matmul:s8s8"), "matmul:nbits"
"""Beginnings of the names of kernels that compete for one limit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes:
        summary: Over all rounds.
        by_round: Its rate in each round, so that a cell is held against the limit of its own round.
    """

    summary: CeilingSummary
    by_round: Mapping[int, float]


def limit(
    readings: Sequence[CeilingReading], names: str | tuple[str, ...], seed: int
) -> Limit | None:
    """Return the limit that kernels of these names reach, `None` if none was measured.

    The kernel with the highest median over all rounds stands for it in every round; taking the
    best kernel of each round anew would favour noise.
    """
    rates: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for reading in readings:
        if reading.kernel.startswith(names):
            rates[reading.kernel][reading.round].append(reading.rate)
    if not rates:
        return None
    medians = {
        kernel: {round_: median(found) for round_, found in rounds.items()}
        for kernel, rounds in rates.items()
    }
    best = max(sorted(medians), key=lambda kernel: median(medians[kernel].values()))
    by_round = medians[best]
    return Limit(CeilingSummary(kernel=best, rate=figure(list(by_round.values()), seed)), by_round)
