"""The records of a comparison of runs."""

from __future__ import annotations

from edgeagent.record.base import Record
from edgeagent.report.model import Difference, Interval, Verdict

COMPARISON_SCHEMA_VERSION = 1


class Ratio(Record):
    """How much larger a figure is in one run than in the reference run.

    Attributes:
        value: Geometric mean over pairs of task runs of (this run / reference run).
        interval: Its 95 % interval, `None` for too few pairs.
        pairs: Pairs of task runs: the same task, paradigm and repetition.
        verdict: Lower is better; not distinguishable unless the interval excludes 1, with the
            change of the machine itself and without it, by more than the noise floor.
        machine_explains: Whether the interval excludes 1, and only the change of the machine or the
            noise floor keeps the verdict from saying so.
    """

    value: float
    interval: Interval | None
    pairs: int
    verdict: Verdict
    machine_explains: bool = False


class MachineShift(Record):
    """How much longer the reference load took than in the reference run.

    Attributes:
        ratio: Geometric mean of both parts, `None` where it was not recorded in both runs. This is
            what is taken out of a difference: running a model is computing and reading memory.
        interval: Its 95 % interval.
        compute: Ratio of the part that computes.
        compute_interval: Its 95 % interval.
        memory: Ratio of the part that reads memory.
        memory_interval: Its 95 % interval.
    """

    ratio: float | None = None
    interval: Interval | None = None
    compute: float | None = None
    compute_interval: Interval | None = None
    memory: float | None = None
    memory_interval: Interval | None = None


class ParadigmComparison(Record):
    """One paradigm in a run and in the reference run.

    Attributes:
        paradigm: Its name.
        ratios: By figure: `e2e_s`, `prefill_s`, `decode_s`, `energy_j`; those that both runs have.
        solved_rate: Paired difference over tasks, `None` without a common task.
        rss_peak_bytes: Peak memory of the cold starts, here and in the reference run.
    """

    paradigm: str
    ratios: dict[str, Ratio]
    solved_rate: Difference | None
    rss_peak_bytes: tuple[float, float] | None


class RunComparison(Record):
    """One run against the reference run.

    Attributes:
        run: Folder of the run.
        differing: Names of the settings that differ.
        same_machine: Whether both were measured on the same machine.
        machine: What the reference load says about the machine.
        paradigms: Those that both runs have.
        notes: What must be known to read the figures.
    """

    run: str
    differing: tuple[str, ...]
    same_machine: bool
    machine: MachineShift
    paradigms: tuple[ParadigmComparison, ...]
    notes: tuple[str, ...]


class Comparison(Record):
    """Several runs against the first.

    Attributes:
        schema_version: Version of this record.
        reference: Folder of the first run.
        noise_floor: Relative differences below this are never called.
        runs: The others.
    """

    schema_version: int = COMPARISON_SCHEMA_VERSION
    reference: str
    noise_floor: float
    runs: tuple[RunComparison, ...]

    @property
    def has_regression(self) -> bool:
        """Whether any figure of any run is worse than in the reference run."""
        return any(
            verdict is Verdict.WORSE
            for run in self.runs
            for paradigm in run.paradigms
            for verdict in (
                *(ratio.verdict for ratio in paradigm.ratios.values()),
                *((paradigm.solved_rate.verdict,) if paradigm.solved_rate else ()),
            )
        )
