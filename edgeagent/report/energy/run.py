"""Everything that a summary says about the energy of a run, derived once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from edgeagent.record.energy import TotalKey
from edgeagent.report.energy.attribution import TaskEnergy, TotalAttribution, attribute
from edgeagent.report.energy.figures import energy_by_task, paradigm_energy
from edgeagent.report.energy.idle import idle_of
from edgeagent.report.energy.model import Energy, TotalEnergy
from edgeagent.report.energy.totals import headline_first, run_total
from edgeagent.report.load import Run

RunKey = tuple[str, str, int]
"""Task, paradigm and repetition of a task run."""


@dataclass(frozen=True, slots=True)
class EnergyOfRun:
    """The totals of a run with the headline first; none if nothing was read.

    Attributes:
        totals: Their attributions.
        seed: Seed of bootstrap intervals.
    """

    totals: tuple[TotalAttribution, ...]
    seed: int

    @property
    def headline(self) -> TotalAttribution | None:
        """The total that speaks for the run."""
        return self.totals[0] if self.totals else None

    def of_paradigm(self, paradigm: str) -> tuple[Energy, ...]:
        """Return a paradigm's figures by the headline and the other totals.

        Empty if the headline knows nothing of it: figures of another total would be compared with
        those of other paradigms.
        """
        found = [
            paradigm_energy(
                total.key,
                [task for task in total.tasks if task.task.paradigm == paradigm],
                {session.number: idle_of(session) for session in total.sessions},
                self.seed,
            )
            for total in self.totals
        ]
        if not found or found[0] is None:
            return ()
        return tuple(energy for energy in found if energy is not None)

    def by_task(self, paradigm: str) -> dict[str, float]:
        """Return mean joules of each task of a paradigm by the headline, resolved ones only."""
        tasks: tuple[TaskEnergy, ...] = () if self.headline is None else self.headline.tasks
        return energy_by_task(task for task in tasks if task.task.paradigm == paradigm)

    def of_totals(self) -> tuple[TotalEnergy, ...]:
        """Return what each total came to over the run."""
        return tuple(
            run_total(total, is_headline=index == 0) for index, total in enumerate(self.totals)
        )


@lru_cache(maxsize=4)
def energy_of_run(run: Run) -> EnergyOfRun:
    """Analyse the energy of a run; once, however often it is asked for."""
    return EnergyOfRun(headline_first(attribute(run)), run.config.seed)


@lru_cache(maxsize=4)
def task_joules(run: Run) -> Mapping[RunKey, float]:
    """Return the joules of each task run by the headline total, gross of idle power.

    Task runs whose energy is not known or not resolved by the readings are left out.
    """
    headline = energy_of_run(run).headline
    return {
        (found.task.task_id, found.task.paradigm, found.task.repetition): joules
        for found in (() if headline is None else headline.tasks)
        if found.reason is None and (joules := found.whole.energy_j) is not None
    }


def headline_key(run: Run) -> TotalKey | None:
    """Return which total the energy figures of a run are of, `None` without any."""
    headline = energy_of_run(run).headline
    return None if headline is None else headline.key
