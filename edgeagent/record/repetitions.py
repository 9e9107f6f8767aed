"""How well repetitions agree: the interval of the seconds per task of the same tasks.

Tasks are held fixed here: each repetition runs all of them, so its mean is one measurement of the
same thing, and the repetitions' spread is the noise of measuring. How paradigms would do on other
tasks is another question, which the paired comparisons answer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgeagent.record.student import mean_half_width


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one task run took.

    Attributes:
        task_id: The task.
        paradigm: The paradigm.
        repetition: From 0.
        e2e_s: Seconds from the question to the answer.
    """

    task_id: str
    paradigm: str
    repetition: int
    e2e_s: float


@dataclass(frozen=True, slots=True)
class RepetitionInterval:
    """The seconds per task of one paradigm over its repetitions.

    Attributes:
        repetitions: Complete ones; each ran every task that any of them ran.
        mean_s: Mean over repetitions of the mean over tasks.
        half_width_s: Half of its 95 % Student interval, `None` for fewer than two repetitions.
        total_s: Seconds of all task runs.
    """

    repetitions: int
    mean_s: float
    half_width_s: float | None
    total_s: float

    @property
    def relative_half_width(self) -> float | None:
        """Half the width over the mean, `None` if there is no interval."""
        if self.half_width_s is None or self.mean_s <= 0:
            return None
        return self.half_width_s / self.mean_s


def repetition_intervals(timings: Iterable[Timing]) -> dict[str, RepetitionInterval]:
    """Return the interval of every paradigm that has at least one complete repetition."""
    by_paradigm: dict[str, list[Timing]] = defaultdict(list)
    for timing in timings:
        by_paradigm[timing.paradigm].append(timing)
    found = {name: _interval(group) for name, group in by_paradigm.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def _interval(timings: Sequence[Timing]) -> RepetitionInterval | None:
    tasks = {timing.task_id for timing in timings}
    repetitions: dict[int, dict[str, float]] = defaultdict(dict)
    for timing in timings:
        repetitions[timing.repetition][timing.task_id] = timing.e2e_s
    means = [
        math.fsum(times.values()) / len(times)
        for times in _complete(repetitions, len(tasks)).values()
    ]
    if not means:
        return None
    return RepetitionInterval(
        repetitions=len(means),
        mean_s=math.fsum(means) / len(means),
        half_width_s=mean_half_width(means),
        total_s=math.fsum(timing.e2e_s for timing in timings),
    )


def _complete(
    repetitions: Mapping[int, Mapping[str, float]], tasks: int
) -> dict[int, Mapping[str, float]]:
    return {number: times for number, times in repetitions.items() if len(times) == tasks}
