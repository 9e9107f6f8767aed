"""The order of a run: each repetition has every task with every paradigm, shuffled."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.config.suite import TaskSpec


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One task with one paradigm.

    Attributes:
        order: Position in the run, from 0.
        task: The task.
        paradigm: Name of the paradigm.
        repetition: From 0.
    """

    order: int
    task: TaskSpec
    paradigm: str
    repetition: int

    @property
    def key(self) -> tuple[str, str, int]:
        """Identifies the record of this run in a file."""
        return (self.task.id, self.paradigm, self.repetition)


def plan_repetition(
    tasks: Sequence[TaskSpec], paradigms: Sequence[str], repetition: int, seed: int
) -> tuple[PlannedRun, ...]:
    """Return the runs of one repetition in a random order that depends on the arguments only.

    Repetitions follow one another and each is shuffled as a whole: a drift of the machine (heat,
    other load) then meets all paradigms alike, and an interrupted run has whole repetitions.

    Args:
        tasks: The tasks of the suite.
        paradigms: What is compared.
        repetition: From 0.
        seed: Seed of the run.
    """
    pairs = [(task, paradigm) for task in tasks for paradigm in paradigms]
    random.Random(f"{seed}/{repetition}").shuffle(pairs)
    first = repetition * len(pairs)
    return tuple(
        PlannedRun(first + index, task, paradigm, repetition)
        for index, (task, paradigm) in enumerate(pairs)
    )
