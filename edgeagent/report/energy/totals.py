"""Which total speaks for the run, and what each total came to over all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgeagent.clock import NS_PER_S, to_seconds
from edgeagent.record.energy import Invalid, Pool
from edgeagent.report.energy.attribution import SessionEnergy, TaskEnergy, TotalAttribution
from edgeagent.report.energy.figures import pool_of
from edgeagent.report.energy.idle import Idle, idle_of
from edgeagent.report.energy.model import Holes, IdlePower, TotalEnergy


def headline_first(totals: Sequence[TotalAttribution]) -> tuple[TotalAttribution, ...]:
    """Return the totals with the one that speaks for the run first.

    It is the widest of those that are known for every task run and resolved for every paradigm;
    if there is none, the one that is known for most task runs, the widest of equals.

    Args:
        totals: All of them, widest first.
    """
    if not totals:
        return ()
    best = next((total for total in totals if _is_complete(total)), None)
    if best is None:
        best = max(totals, key=_known_and_resolved)  # max returns the first of equals
    return best, *(total for total in totals if total is not best)


def run_total(total: TotalAttribution, *, is_headline: bool) -> TotalEnergy:
    """Return what a total came to over the run."""
    known = [task for task in total.tasks if task.reason is None]
    sessions = total.sessions
    is_whole = bool(sessions) and all(session.reason is None for session in sessions)
    is_whole = is_whole and len(known) == len(total.tasks)
    tasks_nj = sum(task.whole.energy_nj for task in known)
    run_nj = sum(session.whole.energy_nj for session in sessions)
    rests = [found for session in sessions for found in session.baselines]
    baselines_nj = sum(found.window.energy_nj for found in rests)
    between_nj = run_nj - tasks_nj - baselines_nj

    def joules(energy_nj: int) -> float | None:
        return energy_nj / NS_PER_S if is_whole else None

    return TotalEnergy(
        total=total.key.name,
        scope=total.key.scope,
        sources=tuple(info.source for info in total.sources),
        is_headline=is_headline,
        attempts=len(known),
        unknown=dict(Counter(task.reason.value for task in total.tasks if task.reason)),
        unresolved=sum(not task.whole.is_resolved for task in known),
        run_j=joules(run_nj),
        tasks_j=joules(tasks_nj),
        baselines_j=joules(baselines_nj),
        between_j=joules(between_nj),
        idle=tuple(_idle_power(session, idle_of(session)) for session in sessions),
        holes=_holes(sessions),
    )


def _is_complete(total: TotalAttribution) -> bool:
    if any(task.reason is not None for task in total.tasks):
        return False
    return all(pool.is_resolved for pool in _by_paradigm(total.tasks).values())


def _known_and_resolved(total: TotalAttribution) -> int:
    return sum(pool.windows for pool in _by_paradigm(total.tasks).values() if pool.is_resolved)


def _by_paradigm(tasks: Sequence[TaskEnergy]) -> dict[str, Pool]:
    names = {task.task.paradigm for task in tasks}
    return {
        name: pool_of(t for t in tasks if t.task.paradigm == name and t.reason is None)
        for name in names
    }


def _idle_power(session: SessionEnergy, idle: Idle) -> IdlePower:
    return IdlePower(
        session=session.number,
        before_w=idle.before_w,
        after_w=idle.after_w,
        drift=idle.drift,
        power_w=idle.power_w,
        note=idle.reason,
    )


def _holes(sessions: Sequence[SessionEnergy]) -> dict[str, Holes]:
    widths_ns: dict[Invalid, list[int]] = {}
    for session in sessions:
        for reason, width_ns in session.holes:
            widths_ns.setdefault(reason, []).append(width_ns)
    return {
        reason.value: Holes(count=len(found), duration_s=to_seconds(sum(found)))
        for reason, found in widths_ns.items()
    }
