"""Energy of every span, task run and session of a run, for every total that was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeagent.record.baseline import BaselineRecord
from edgeagent.record.energy import Invalid, Pool, Total, TotalKey, Windows, open_totals
from edgeagent.record.energy.windows import Ints
from edgeagent.record.run import TaskRecord
from edgeagent.record.samples import SourceInfo
from edgeagent.record.spans import Span, SpanKind
from edgeagent.report.load import Run
from edgeagent.report.sessions import SampleSession, session_of

OVERHEAD = "overhead"
_PHASES = {kind: kind.value for kind in (SpanKind.PREFILL, SpanKind.DECODE, SpanKind.TOOL)}


def phase_of(span: Span) -> str:
    """Return the phase that a span's own time and energy belong to."""
    return _PHASES.get(span.kind, OVERHEAD)


@dataclass(frozen=True, slots=True)
class SpanEnergy:
    """What a span used; each a pool of one window.

    Attributes:
        span: The span.
        whole: From its start to its end.
        own: What its children leave of that.
    """

    span: Span
    whole: Pool
    own: Pool


@dataclass(frozen=True, slots=True)
class TaskEnergy:
    """Energy of one task run.

    Attributes:
        task: The task run.
        session: Number of the session whose readings cover it, `None` if none or several do.
        reason: Why its energy is not known, `None` if it is.
        whole: The root span; the own energies of all spans add up to it exactly.
        spans: Every span, empty if the energy is not known.
    """

    task: TaskRecord
    session: int | None
    reason: Invalid | None
    whole: Pool
    spans: tuple[SpanEnergy, ...]


@dataclass(frozen=True, slots=True)
class BaselineEnergy:
    """Energy of one window of rest; `reason` is why it is not known."""

    baseline: BaselineRecord
    reason: Invalid | None
    window: Pool


@dataclass(frozen=True, slots=True)
class SessionEnergy:
    """Energy of one session, from the first baseline or task run to the end of the last.

    Attributes:
        number: Of the session.
        reason: Why its energy is not known, `None` if it is.
        whole: All of it; the sum of tasks, baselines and what lies between them, exactly.
        baselines: The windows of rest.
        holes: Reason and length in ns of the intervals in it that no reading covers.
    """

    number: int
    reason: Invalid | None
    whole: Pool
    baselines: tuple[BaselineEnergy, ...]
    holes: tuple[tuple[Invalid, int], ...]


@dataclass(frozen=True, slots=True)
class TotalAttribution:
    """One total over a whole run.

    Attributes:
        key: Which total.
        sources: What was added up.
        tasks: Every task run in the order of the run.
        sessions: Every session that ran tasks.
    """

    key: TotalKey
    sources: tuple[SourceInfo, ...]
    tasks: tuple[TaskEnergy, ...]
    sessions: tuple[SessionEnergy, ...]


@lru_cache(maxsize=4)
def attribute(run: Run) -> tuple[TotalAttribution, ...]:
    """Attribute the energy of every total, widest first; empty if nothing was read.

    A run is analysed once, however often it is asked for.
    """
    groups = tuple(_group(run))
    totals = {group.session.number: _open(group) for group in groups}
    keys = sorted({key for found in totals.values() for key in found}, key=lambda key: key.rank)
    return tuple(_attribute(run, key, groups, totals) for key in keys)


@dataclass(frozen=True, slots=True)
class _Group:
    """The task runs of one session with all their spans as arrays.

    Attributes:
        session: The session.
        tasks: Index of each task run in the run.
        first: Index of each task run's root among the spans.
        t0_ns: Start of every span.
        t1_ns: End of every span.
        parent: Index of every span's parent, -1 for roots.
    """

    session: SampleSession
    tasks: tuple[int, ...]
    first: tuple[int, ...]
    t0_ns: Ints
    t1_ns: Ints
    parent: Ints

    @property
    def window_ns(self) -> tuple[int, int]:
        """First and last moment of all task runs and baselines."""
        rests = self.session.baselines
        t0_ns = min([int(self.t0_ns.min()), *(rest.t0_ns for rest in rests)])
        return t0_ns, max([int(self.t1_ns.max()), *(rest.t1_ns for rest in rests)])


def _group(run: Run) -> list[_Group]:
    members: dict[int, list[int]] = {}
    for index, task in enumerate(run.tasks):
        root = task.spans[0]
        session = session_of(run.sessions, root.t0_ns, root.t1_ns)
        if session is not None:
            members.setdefault(session.number, []).append(index)
    groups = []
    for session in run.sessions:
        if session.number in members:
            tasks = members[session.number]
            groups.append(_flatten(session, tasks, [run.tasks[index] for index in tasks]))
    return groups


def _flatten(session: SampleSession, indices: Sequence[int], tasks: Sequence[TaskRecord]) -> _Group:
    first: list[int] = []
    parent: list[int] = []
    t0_ns: list[int] = []
    t1_ns: list[int] = []
    for task in tasks:
        offset = len(t0_ns)
        first.append(offset)
        place = {span.id: offset + index for index, span in enumerate(task.spans)}
        for span in task.spans:
            parent.append(-1 if span.parent_id is None else place[span.parent_id])
            t0_ns.append(span.t0_ns)
            t1_ns.append(span.t1_ns)
    return _Group(
        session=session,
        tasks=tuple(indices),
        first=tuple(first),
        t0_ns=np.array(t0_ns, np.int64),
        t1_ns=np.array(t1_ns, np.int64),
        parent=np.array(parent, np.int64),
    )


def _open(group: _Group) -> dict[TotalKey, Total]:
    session = group.session
    rests = [t_ns for rest in session.baselines for t_ns in (rest.t0_ns, rest.t1_ns)]
    edges_ns = np.concatenate([group.t0_ns, group.t1_ns, np.array(rests, np.int64)])
    totals = open_totals(session.sources, session.samples, session.failures, edges_ns)
    return {total.key: total for total in totals}


def _attribute(
    run: Run,
    key: TotalKey,
    groups: Sequence[_Group],
    totals: dict[int, dict[TotalKey, Total]],
) -> TotalAttribution:
    tasks = {index: _unknown(task, None) for index, task in enumerate(run.tasks)}
    sessions: list[SessionEnergy] = []
    sources: dict[str, SourceInfo] = {}
    for group in groups:
        number = group.session.number
        total = totals[number].get(key)
        if total is None:
            tasks |= {index: _unknown(run.tasks[index], number) for index in group.tasks}
            continue
        sources |= {info.source: info for info in total.sources}
        whole = total.windows(group.t0_ns, group.t1_ns)
        own = whole.own(group.parent)
        for index, first in zip(group.tasks, group.first, strict=True):
            tasks[index] = _task_energy(run.tasks[index], number, first, whole, own)
        sessions.append(_session_energy(group, total))
    return TotalAttribution(
        key=key,
        sources=tuple(sources.values()),
        tasks=tuple(tasks[index] for index in range(len(run.tasks))),
        sessions=tuple(sessions),
    )


def _unknown(task: TaskRecord, session: int | None) -> TaskEnergy:
    return TaskEnergy(task, session, Invalid.NOT_COVERED, Pool(), ())


def _task_energy(
    task: TaskRecord, session: int, first: int, whole: Windows, own: Windows
) -> TaskEnergy:
    reason = whole.reason(first)
    if reason is not None:
        return TaskEnergy(task, session, reason, Pool(), ())
    spans = tuple(
        SpanEnergy(span, whole.pool(first + index), own.pool(first + index))
        for index, span in enumerate(task.spans)
    )
    return TaskEnergy(task, session, None, whole.pool(first), spans)


def _session_energy(group: _Group, total: Total) -> SessionEnergy:
    rests = group.session.baselines
    t0_ns, t1_ns = group.window_ns
    windows = total.windows(
        np.array([t0_ns, *(rest.t0_ns for rest in rests)], np.int64),
        np.array([t1_ns, *(rest.t1_ns for rest in rests)], np.int64),
    )

    def pool(index: int) -> Pool:
        return windows.pool(index) if windows.reason(index) is None else Pool()

    return SessionEnergy(
        number=group.session.number,
        reason=windows.reason(0),
        whole=pool(0),
        baselines=tuple(
            BaselineEnergy(rest, windows.reason(index), pool(index))
            for index, rest in enumerate(rests, 1)
        ),
        holes=tuple(total.holes(t0_ns, t1_ns)),
    )
