"""The readings around each task run, and sums of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from edgeagent.record.run import TaskRecord
from edgeagent.record.samples import Sample, SourceState
from edgeagent.report.conditions.model import Mark, TaskRef
from edgeagent.report.sessions import SampleSession, session_of


@dataclass(frozen=True, slots=True)
class Window:
    """The time of one task run with the readings of its session."""

    ref: TaskRef
    session: SampleSession
    t0_ns: int
    t1_ns: int

    def around(self, source: str) -> Sequence[Sample]:
        """Return the readings within, and the ones before and after that are nearest."""
        series = self.session.samples.get(source, ())
        first = max(0, bisect_right(series, self.t0_ns, key=_time) - 1)
        last = bisect_left(series, self.t1_ns, key=_time)
        return series[first : last + 1]

    def within(self, source: str) -> Sequence[Sample]:
        """Return the readings within, or the nearest ones around a short task run."""
        series = self.session.samples.get(source, ())
        first = bisect_left(series, self.t0_ns, key=_time)
        last = bisect_right(series, self.t1_ns, key=_time)
        return series[first:last] or self.around(source)

    def sources(self, quantity: str) -> list[str]:
        """Return the sources of a quantity that have readings."""
        return [
            info.source
            for info in self.session.sources
            if info.quantity == quantity and self.session.samples.get(info.source)
        ]


@dataclass(slots=True)
class Findings:
    """What the judges write down."""

    marks: list[Mark] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


def windows_of(sessions: Sequence[SampleSession], tasks: Sequence[TaskRecord]) -> Iterator[Window]:
    """Yield the window of every task run whose session is known, in order."""
    for task in tasks:
        t0_ns, t1_ns = task.spans[0].t0_ns, task.spans[0].t1_ns
        session = session_of(sessions, t0_ns, t1_ns)
        if session is not None:
            ref = TaskRef(task_id=task.task_id, paradigm=task.paradigm, repetition=task.repetition)
            yield Window(ref, session, t0_ns, t1_ns)


def whole(windows: Sequence[Window]) -> Iterator[Window]:
    """Yield one window per session, from its first task run to its last.

    Adjacent task runs share readings, so what is counted must not be added up over task runs.
    """
    by_session: dict[int, list[Window]] = {}
    for window in windows:
        by_session.setdefault(window.session.number, []).append(window)
    for found in by_session.values():
        yield Window(
            found[0].ref,
            found[0].session,
            min(window.t0_ns for window in found),
            max(window.t1_ns for window in found),
        )


def shares_of(windows: Iterable[Window], source: str) -> list[tuple[Window, float]]:
    """Return the share of all processor time of each task run that has readings around it."""
    found = []
    for window in windows:
        passed = growth(window.around("cpu:time"))
        part = window.around(source)
        if passed > 0 and len(part) > 1:
            found.append((window, min(1.0, growth(part) / passed)))
    return found


def mean_share(windows: Iterable[Window], source: str) -> float:
    """Return the share over all task runs together."""
    part = passed = 0.0
    for window, share in shares_of(windows, source):
        time_s = growth(window.around("cpu:time"))
        part, passed = part + share * time_s, passed + time_s
    return part / passed


def growth(readings: Sequence[Sample]) -> float:
    """Return what a counter gained; a step back is a reset, of which nothing is known."""
    return sum(max(0.0, after.value - before.value) for before, after in pairwise(readings))


def unknown(what: str, windows: Sequence[Window], prefix: str) -> str:
    """Return a sentence on what cannot be told, with the source's own reason."""
    reasons = [
        info.reason
        for window in windows[:1]
        for info in window.session.sources
        if info.source.startswith(prefix) and info.state is not SourceState.OK and info.reason
    ]
    return f"It is not known {what}. {reasons[0] if reasons else 'There are no readings of it.'}"


def count_of(touched: Sequence[TaskRef], windows: Sequence[Window]) -> str:
    """Return how many of the task runs were touched, in words."""
    return f"{len(touched)} of {len(windows)} task runs"


def _time(sample: Sample) -> int:
    return sample.t_ns
