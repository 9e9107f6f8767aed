"""Energy of every single span as a table for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from edgeagent.clock import to_seconds
from edgeagent.record.energy import Pool
from edgeagent.record.energy.resolution import INSUFFICIENT
from edgeagent.record.samples import SourceState
from edgeagent.report.energy.attribution import TaskEnergy, TotalAttribution
from edgeagent.report.energy.run import energy_of_run
from edgeagent.report.load import Run

COLUMNS = (
    *("total", "scope", "task_id", "paradigm", "repetition", "solved"),
    *("span", "parent", "kind", "agent", "name", "start_s", "duration_s"),
    *("energy_j", "state", "own_duration_s", "own_energy_j", "own_state"),
)


def spans_csv(run: Run) -> str | None:
    """Return a table with one line per span and total, `None` if no energy was read.

    `energy_j` is that of the whole span, `own_energy_j` without its children; the own energies of a
    task run add up to the energy of its root. `state` is `ok`, `insufficient_resolution`, or why
    the energy is not known; there is a number only where it is `ok`. Times count from the start of
    the task run. A task run of unknown energy has one line, that of its root.
    """
    totals = energy_of_run(run).totals
    if not totals:
        return None
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for total in totals:
        for task in total.tasks:
            writer.writerows(_lines(total, task))
    return text.getvalue()


def _lines(total: TotalAttribution, energy: TaskEnergy) -> Iterator[tuple[object, ...]]:
    task = energy.task
    about = (
        *(total.key.name, total.key.scope.value, task.task_id, task.paradigm, task.repetition),
        int(task.solved),
    )
    start_ns = task.spans[0].t0_ns
    for index, span in enumerate(task.spans):
        place = (
            *(span.id, "" if span.parent_id is None else span.parent_id, span.kind.value),
            *(span.agent, span.name),
            *(to_seconds(span.t0_ns - start_ns), to_seconds(span.duration_ns)),
        )
        if energy.reason is not None:
            yield *about, *place, "", energy.reason.value, "", "", energy.reason.value
            return
        found = energy.spans[index]
        yield (
            *(*about, *place),
            *_figure(found.whole),
            to_seconds(found.own.duration_ns),
            *_figure(found.own),
        )


def _figure(pool: Pool) -> tuple[object, str]:
    if pool.duration_ns == 0:  # its children leave nothing
        return 0.0, SourceState.OK.value
    joules = pool.energy_j
    return ("", INSUFFICIENT) if joules is None else (joules, SourceState.OK.value)
