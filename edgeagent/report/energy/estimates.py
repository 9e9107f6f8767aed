"""Estimated energy: bounds that were asked for, in fields of their own, never compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from edgeagent.clock import NS_PER_S
from edgeagent.record.energy.totals import open_estimates
from edgeagent.record.run import TaskRecord
from edgeagent.report.energy.model import EstimatedEnergy
from edgeagent.report.load import Run
from edgeagent.report.sessions import session_of

_SOURCES = 3
"""The estimate, its lower and its upper bound."""

_Estimate: TypeAlias = tuple[float, float, float]


def estimates_of(run: Run) -> Mapping[str, EstimatedEnergy]:
    """Return the estimate of each paradigm that has one.

    What the model says and its two bounds are sources of their own. A task run has an estimate
    only with both bounds: the least and the largest energy by any of three sources.
    """
    groups: dict[int, list[TaskRecord]] = {}
    for task in run.tasks:
        root = task.spans[0]
        session = session_of(run.sessions, root.t0_ns, root.t1_ns)
        if session is not None:
            groups.setdefault(session.number, []).append(task)
    found: dict[str, list[_Estimate]] = {}
    for session in run.sessions:
        tasks = groups.get(session.number, [])
        curves = open_estimates(session.sources, session.samples)
        if not tasks or len(curves) != _SOURCES:
            continue
        t0_ns = np.array([task.spans[0].t0_ns for task in tasks], np.int64)
        t1_ns = np.array([task.spans[0].t1_ns for task in tasks], np.int64)
        windows = [curve.windows(t0_ns, t1_ns) for curve in curves]
        for index, task in enumerate(tasks):
            if all(window.code[index] == 0 for window in windows):
                low, middle, high = sorted(int(w.energy_nj[index]) / NS_PER_S for w in windows)
                found.setdefault(task.paradigm, []).append((low, middle, high))
    return {paradigm: _mean(estimates) for paradigm, estimates in found.items()}


def _mean(estimates: Sequence[_Estimate]) -> EstimatedEnergy:
    low, middle, high = (sum(values) / len(estimates) for values in zip(*estimates, strict=True))
    return EstimatedEnergy(
        attempts=len(estimates),
        energy_j_estimate_per_task=middle,
        low_j_per_task=low,
        high_j_per_task=high,
    )
