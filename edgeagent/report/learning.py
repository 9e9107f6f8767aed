"""What a memory brought and what it cost: each paradigm with memory against the same without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgeagent.record import jsonl
from edgeagent.record.learning import LEARNED_NAME, LearnedRecord
from edgeagent.record.outcome import StepKind
from edgeagent.report import format as fmt
from edgeagent.report.averages import Figure, by_task
from edgeagent.report.energy.run import EnergyOfRun
from edgeagent.report.gain import Learning, MemoryGain
from edgeagent.report.load import Run
from edgeagent.report.metrics import TaskMetrics
from edgeagent.report.stats import paired_difference

SUFFIX = "+memory"
"""Ends the name of a paradigm with memory."""

_LEFT_OUT = "left out"
"""Begins the step that takes examples away because one was copied from."""

_FIGURES: Mapping[str, tuple[Figure, bool]] = {
    "solved_rate": (lambda metrics: float(metrics.task.solved), True),
    "e2e_s": (lambda metrics: metrics.e2e_s, False),
    "prefilled_tokens": (lambda metrics: float(metrics.tokens.prefilled), False),
}
_ROWS = (
    ("solved_rate", "solved", "points", 100.0),
    ("e2e_s", "seconds per task", "s", 1.0),
    ("prefilled_tokens", "prefilled tokens per task", "tokens", 1.0),
    ("energy_j", "energy per task", "J", 1.0),
)


def learning_of(
    run: Run, groups: Mapping[str, Sequence[TaskMetrics]], energy: EnergyOfRun, seed: int
) -> Learning | None:
    """Return what a run learned, `None` if it had no memory.

    Raises:
        RunDataError: The record of what was learned is damaged.
    """
    path = run.folder / LEARNED_NAME
    if not path.is_file():
        return None
    found = jsonl.read(path, LearnedRecord, on_torn=lambda _: None)
    learned = {record.task_id: record for record in found if record.config == run.config}
    return Learning(
        tasks=len(learned),
        solved=sum(record.solved for record in learned.values()),
        stored=sum(record.stored for record in learned.values()),
        seconds=sum(record.e2e_s for record in learned.values()),
        gains=tuple(
            _gain(name, name.removesuffix(SUFFIX), groups, energy, seed)
            for name in groups
            if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in groups
        ),
    )


def _gain(
    name: str,
    reference: str,
    groups: Mapping[str, Sequence[TaskMetrics]],
    energy: EnergyOfRun,
    seed: int,
) -> MemoryGain:
    group, without = groups[name], groups[reference]
    found = {
        figure: paired_difference(
            by_task(group, read), by_task(without, read), higher_is_better=better, seed=seed
        )
        for figure, (read, better) in _FIGURES.items()
    }
    found["energy_j"] = paired_difference(
        energy.by_task(name), energy.by_task(reference), higher_is_better=False, seed=seed
    )
    recalls = [
        [step.text for step in one.task.outcome.steps if step.kind is StepKind.RECALL]
        for one in group
    ]
    left_out = sum(any(text.startswith(_LEFT_OUT) for text in texts) for texts in recalls)
    return MemoryGain(
        paradigm=name,
        reference=reference,
        shown_rate=sum(map(bool, recalls)) / len(group),
        left_out_rate=left_out / len(group),
        differences={figure: value for figure, value in found.items() if value is not None},
    )


def learning_sentences(learning: Learning) -> Iterable[str]:
    """Say what was learned, and for each paradigm what that brought."""
    yield (
        f"Learned from {learning.tasks} tasks in {fmt.number(learning.seconds)} s: "
        f"{learning.solved} were solved, {learning.stored} of them remembered. All figures are of "
        "the tasks that were held out."
    )
    for gain in learning.gains:
        shown = f"examples shown in {100 * gain.shown_rate:.0f} % of the task runs"
        if gain.left_out_rate:
            shown += f", taken away again in {100 * gain.left_out_rate:.0f} %"
        yield f"{gain.paradigm} against {gain.reference}: {shown}."


def learning_rows(learning: Learning) -> Iterable[tuple[str, str, str]]:
    """Yield paradigm, figure and the paired difference to the same paradigm without memory."""
    for gain in learning.gains:
        for figure, label, unit, scale in _ROWS:
            difference = gain.differences.get(figure)
            if difference is not None:
                yield gain.paradigm, label, fmt.difference(difference, unit, scale)
