"""Readings of one source as arrays, in order of time and without duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeagent.record.energy.windows import Ints
from edgeagent.record.samples import ReadFailure, Sample, SourceInfo, SourceState

MAX_VALUE = 1e15
"""Joules or watts beyond it are damage; a plug that counted for centuries is below."""

_MAX_INTERVAL_S = 86_400.0
"""A source that is new once a day is of no use, and larger numbers are damage."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of one source; every array has shape `(readings,)`.

    Attributes:
        t_ns: Midpoints of the reads, strictly rising.
        value: In the unit of the source.
        width_ns: How long each read took.
    """

    t_ns: Ints
    value: NDArray[np.float64]
    width_ns: Ints

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Readings:
        """Sort samples by time; of several with the same time the first counts.

        Absurd values are left out.
        """
        t_ns = np.fromiter((sample.t_ns for sample in samples), np.int64, len(samples))
        value = np.fromiter((sample.value for sample in samples), np.float64, len(samples))
        width_ns = np.fromiter((sample.width_ns for sample in samples), np.int64, len(samples))
        t_ns, first = np.unique(t_ns, return_index=True)
        readings = cls(t_ns, value[first], np.maximum(width_ns[first], 0))
        return readings.where(np.abs(readings.value) <= MAX_VALUE)

    def where(self, keep: NDArray[np.bool_]) -> Readings:
        """Return the readings that a mask keeps."""
        return Readings(self.t_ns[keep], self.value[keep], self.width_ns[keep])


def by_source(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Group readings by source, each group in order of time."""
    series: dict[str, list[Sample]] = {}
    for sample in samples:
        series.setdefault(sample.source, []).append(sample)
    for readings in series.values():
        readings.sort(key=lambda sample: sample.t_ns)
    return series


def plausible(info: SourceInfo) -> SourceInfo:
    """Return a source with the numbers of damaged files bounded, so that sums do not overflow."""
    return info.model_copy(
        update={
            "interval_s": _bounded(info.interval_s, _MAX_INTERVAL_S),
            "max_power_w": _bounded(info.max_power_w, MAX_VALUE),
            "resolution": _bounded(info.resolution, MAX_VALUE),
            "counter_range": _bounded(info.counter_range, MAX_VALUE),
        }
    )


def _bounded(value: float | None, most: float) -> float | None:
    return None if value is None else min(max(value, 0.0), most)


def failure_times(failures: Sequence[ReadFailure], *states: SourceState) -> Ints:
    """Return when readings failed with one of these states."""
    return np.array([failure.t_ns for failure in failures if failure.state in states], np.int64)
