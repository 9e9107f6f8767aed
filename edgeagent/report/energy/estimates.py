"""Estimated energy: bounds that were asked for, in fields of their own, never compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgeagent.record.energy.totals import open_estimates
from edgeagent.record.run import TaskRecord
from edgeagent.report.energy.model import EnergyEstimate
from edgeagent.report.load import Run
from edgeagent.report.sessions import session_of

_NJ_PER_J = 1e9


def estimate_energy(run: Run) -> Mapping[str, EnergyEstimate]:
    """Return the estimate of each paradigm that has one.

    The lower and the upper bound of the power are sources of their own; the bounds of a task run
    are the least and the largest energy by any of them.
    """
    groups: dict[int, list[TaskRecord]] = {}
    for task in run.tasks:
        root = task.spans[0]
        session = session_of(run.sessions, root.t0_ns, root.t1_ns)
        if session is not None:
            groups.setdefault(session.number, []).append(task)
    bounds: dict[str, list[tuple[float, float]]] = {}
    for session in run.sessions:
        tasks = groups.get(session.number, [])
        curves = open_estimates(session.sources, session.samples)
        if not tasks or not curves:
            continue
        t0_ns = np.array([task.spans[0].t0_ns for task in tasks], np.int64)
        t1_ns = np.array([task.spans[0].t1_ns for task in tasks], np.int64)
        windows = [curve.windows(t0_ns, t1_ns) for curve in curves]
        for index, task in enumerate(tasks):
            if all(found.code[index] == 0 for found in windows):
                joules = [int(found.energy_nj[index]) / _NJ_PER_J for found in windows]
                bounds.setdefault(task.paradigm, []).append((min(joules), max(joules)))
    return {paradigm: _mean(found) for paradigm, found in bounds.items()}


def _mean(bounds: Sequence[tuple[float, float]]) -> EnergyEstimate:
    return EnergyEstimate(
        attempts=len(bounds),
        low_j_per_task=sum(low for low, _ in bounds) / len(bounds),
        high_j_per_task=sum(high for _, high in bounds) / len(bounds),
    )
