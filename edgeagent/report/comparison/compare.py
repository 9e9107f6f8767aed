"""From two or more run folders to what distinguishes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from edgeagent.record import jsonl
from edgeagent.record.reference import REFERENCE_NAME, ReferenceRecord
from edgeagent.record.run import RunConfig
from edgeagent.record.samples import Scope
from edgeagent.report.comparison.model import (
    Comparison,
    MachineShift,
    ParadigmComparison,
    Ratio,
    RunComparison,
)
from edgeagent.report.comparison.statistics import LogShift, paired_shift, unpaired_shift
from edgeagent.report.energy.run import headline_key
from edgeagent.report.load import Run, load_run
from edgeagent.report.metrics import TaskMetrics, task_metrics
from edgeagent.report.model import Interval, Verdict
from edgeagent.report.stats import paired_difference

NOISE_FLOOR = 0.02
"""Smaller differences are not called: two processes of the same program differ in where their
memory lies, which no repetition within a process shows. A choice, not a measurement."""

_FIGURES: Mapping[str, Callable[[TaskMetrics], float | None]] = {
    "e2e_s": lambda metrics: metrics.e2e_s,
    "prefill_s": lambda metrics: metrics.phases.prefill_ns / 1e9,
    "decode_s": lambda metrics: metrics.phases.decode_ns / 1e9,
    "energy_j": lambda metrics: metrics.energy_j,
}

_Key = tuple[str, int]


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Compare every run with the first.

    Raises:
        RunDataError: A folder holds no readable run.
    """
    reference, *others = [_Measured(load_run(folder)) for folder in folders]
    return Comparison(
        reference=str(reference.run.folder),
        noise_floor=NOISE_FLOOR,
        runs=tuple(_compare(other, reference) for other in others),
    )


class _Measured:
    """A run with its metrics by paradigm, and the runs of the reference load."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.metrics: dict[str, dict[_Key, TaskMetrics]] = {}
        for task in run.tasks:
            group = self.metrics.setdefault(task.paradigm, {})
            group[task.task_id, task.repetition] = task_metrics(task, run)
        path = run.folder / REFERENCE_NAME
        found = jsonl.read(path, ReferenceRecord, on_torn=lambda _: None) if path.is_file() else ()
        references = [record for record in found if record.config == run.config]
        self.compute = [_log_median(record.compute_ns) for record in references]
        self.memory = [_log_median(record.memory_ns) for record in references]
        self.machine = [
            (compute + memory) / 2
            for compute, memory in zip(self.compute, self.memory, strict=True)
        ]


def _log_median(times_ns: Sequence[int]) -> float:
    return math.log(max(1.0, median(times_ns))) if times_ns else 0.0


def _compare(other: _Measured, reference: _Measured) -> RunComparison:
    same_machine = other.run.config.host == reference.run.config.host
    compute = unpaired_shift(other.compute, reference.compute)
    memory = unpaired_shift(other.memory, reference.memory)
    machine = unpaired_shift(other.machine, reference.machine)
    known = machine if same_machine else None
    names = [name for name in reference.metrics if name in other.metrics]
    return RunComparison(
        run=str(other.run.folder),
        differing=_differing(other.run.config, reference.run.config),
        same_machine=same_machine,
        machine=MachineShift(
            ratio=_ratio(machine),
            interval=_interval(machine),
            compute=_ratio(compute),
            compute_interval=_interval(compute),
            memory=_ratio(memory),
            memory_interval=_interval(memory),
        ),
        paradigms=tuple(_compare_paradigm(name, other, reference, known) for name in names),
        notes=tuple(_notes(other, reference, same_machine=same_machine, known=known)),
    )


def _compare_paradigm(
    name: str, other: _Measured, reference: _Measured, machine: LogShift | None
) -> ParadigmComparison:
    here, there = other.metrics[name], reference.metrics[name]
    figures = dict(_FIGURES)
    if _measured_scope(other.run) != _measured_scope(reference.run):
        del figures["energy_j"]
    keys = sorted(here.keys() & there.keys(), key=lambda key: there[key].task.order)
    found = {
        figure: _compare_figure([(read(here[key]), read(there[key])) for key in keys], machine)
        for figure, read in figures.items()
    }
    memory = [measured.run.cold.get(name) for measured in (other, reference)]
    peaks = [record.rss_peak_bytes for record in memory if record is not None]
    return ParadigmComparison(
        paradigm=name,
        ratios={figure: ratio for figure, ratio in found.items() if ratio is not None},
        solved_rate=paired_difference(
            _solved(here), _solved(there), higher_is_better=True, seed=reference.run.config.seed
        ),
        rss_peak_bytes=(
            (float(peaks[0]), float(peaks[1]))
            if len(peaks) == 2 and peaks[0] is not None and peaks[1] is not None
            else None
        ),
    )


def _solved(group: Mapping[_Key, TaskMetrics]) -> dict[str, float]:
    by_task: dict[str, list[float]] = {}
    for (task_id, _), metrics in group.items():
        by_task.setdefault(task_id, []).append(float(metrics.task.solved))
    return {task_id: sum(values) / len(values) for task_id, values in by_task.items()}


def _compare_figure(
    pairs: Sequence[tuple[float | None, float | None]], machine: LogShift | None
) -> Ratio | None:
    differences = [math.log(a / b) for a, b in pairs if a and b and a > 0 and b > 0]
    if not differences:
        return None
    shift = paired_shift(differences)
    if shift is None:
        return Ratio(
            value=math.exp(math.fsum(differences) / len(differences)),
            interval=None,
            pairs=len(differences),
            verdict=Verdict.NOT_DISTINGUISHABLE,
        )
    differs = abs(shift.mean) > shift.half_width
    remains = differs and _remains(shift, None) and _remains(shift, machine)
    verdict = Verdict.NOT_DISTINGUISHABLE
    if remains:
        verdict = Verdict.WORSE if shift.mean > 0 else Verdict.BETTER
    return Ratio(
        value=math.exp(shift.mean),
        interval=_interval(shift),
        pairs=len(differences),
        verdict=verdict,
        machine_explains=differs and not remains,
    )


def _remains(shift: LogShift, machine: LogShift | None) -> bool:
    """Whether a shift is beyond noise and floor when the machine's own shift is taken out."""
    left = shift if machine is None else shift.without(machine)
    same_direction = (left.mean > 0) == (shift.mean > 0)
    return same_direction and abs(left.mean) > max(left.half_width, math.log1p(NOISE_FLOOR))


def _ratio(shift: LogShift | None) -> float | None:
    return None if shift is None else math.exp(shift.mean)


def _interval(shift: LogShift | None) -> Interval | None:
    if shift is None:
        return None
    return Interval(
        low=math.exp(shift.mean - shift.half_width), high=math.exp(shift.mean + shift.half_width)
    )


def _differing(config: RunConfig, reference: RunConfig) -> tuple[str, ...]:
    return tuple(
        name for name in RunConfig.model_fields if getattr(config, name) != getattr(reference, name)
    )


def _notes(
    other: _Measured,
    reference: _Measured,
    *,
    same_machine: bool,
    known: LogShift | None,
) -> list[str]:
    notes = []
    config, first = other.run.config, reference.run.config
    if not same_machine:
        notes.append(
            f"The runs come from different machines ({config.host.cpu} and {first.host.cpu}), so "
            "differences are those of machine, model and settings together."
        )
    elif known is None:
        notes.append(
            "A run has no record of the reference load, so a change of the machine between the "
            "runs cannot be told from a change of the model."
        )
    if config.suite_sha256 != first.suite_sha256:
        notes.append("The suites differ; only tasks with the same name are compared.")
    here, there = _measured_scope(other.run), _measured_scope(reference.run)
    if here is not None and there is not None and here != there:
        notes.append(
            f"Energy is that of the {here[0]} here and of the {there[0]} in the reference, so it "
            "is not compared."
        )
    return notes


def _measured_scope(run: Run) -> tuple[str, Scope] | None:
    """Return what the energy figures of a run cover, `None` without any."""
    key = headline_key(run)
    return None if key is None else (key.name, key.scope)
