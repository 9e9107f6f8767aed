"""The records of `summary.json`: what a run comes to, in SI units, `None` for not measured."""

from __future__ import annotations

from pydantic import Field

from edgeagent.record.base import Record
from edgeagent.record.run import RunConfig
from edgeagent.record.samples import SourceInfo
from edgeagent.report.conditions.model import RunConditions
from edgeagent.report.energy.model import Energy, EstimatedEnergy, TotalEnergy
from edgeagent.report.gain import Learning, MemoryGain
from edgeagent.report.interval import Difference, Interval, Spread, Verdict
from edgeagent.report.memory import MemoryDetail
from edgeagent.report.quality.model import CallsPerTask, CategoryResult, RelativeQuality

SUMMARY_SCHEMA_VERSION = 3
"""3: quality relative to the base model, categories with intervals, calls.
2: energy of several totals, gross and net, per phase and agent. Fields that version 1 had mean
the same, those that it had not are empty; `energy_j_per_task` and `energy_j_failed` may be null."""

__all__ = [
    "SUMMARY_SCHEMA_VERSION",
    "CallsPerTask",
    "CategoryResult",
    "ColdStart",
    "Difference",
    "Energy",
    "EstimatedEnergy",
    "Interval",
    "Learning",
    "Memory",
    "MemoryDetail",
    "MemoryGain",
    "ParadigmSummary",
    "PhaseSeconds",
    "Recommendation",
    "RelativeQuality",
    "Repetitions",
    "RunConditions",
    "Spread",
    "Summary",
    "TokensPerTask",
    "TotalEnergy",
    "Verdict",
]


class PhaseSeconds(Record):
    """Mean seconds of a task run per phase; they add up to the mean of `e2e_s`."""

    prefill: float
    decode: float
    tool: float
    overhead: float


class TokensPerTask(Record):
    """Mean tokens of a task run; see `docs/metrics.md`."""

    tokens_in: float
    cached: float
    prefilled: float
    out: float
    forced: float
    decoded: float


class Memory(Record):
    """Largest resident memory of a paradigm, seen from outside its process.

    Attributes:
        alone: Whether the paradigm had a process of its own (a cold start). If not, the figures
            are of the timed run, which keeps the caches of all paradigms.
        rss_peak_bytes: Resident set size.
        rss_anon_peak_bytes: The largest anonymous part, which cannot be dropped.
        rss_file_peak_bytes: The largest file-backed part, such as mapped weights.
        kv_cache_bytes: Computed size of the KV caches, `None` if unknown.
    """

    alone: bool
    rss_peak_bytes: float | None
    rss_anon_peak_bytes: float | None
    rss_file_peak_bytes: float | None
    kv_cache_bytes: float | None = None


class ColdStart(Record):
    """What a paradigm costs before its first task, in a fresh process.

    Attributes:
        load_s: Loading the package.
        warm_up_s: Opening the KV caches and prefilling the prefixes of all roles.
        prefix_tokens: Length of these prefixes; they are prefilled once and then cached.
    """

    load_s: float
    warm_up_s: float
    prefix_tokens: int


class Repetitions(Record):
    """How well the seconds per task are known for exactly these tasks on this machine.

    Attributes:
        count: Complete repetitions.
        half_width_s: Half of the 95 % Student interval of the mean over repetitions, `None` for
            fewer than two.
    """

    count: int
    half_width_s: float | None


class ParadigmSummary(Record):
    """What one paradigm came to.

    Attributes:
        paradigm: Its name.
        tasks: Different tasks.
        attempts: Task runs, repetitions included.
        solved: Solved task runs.
        solved_rate: Mean over tasks of the share of solved repetitions.
        solved_interval: 95 % Wilson interval of `solved_rate` over tasks.
        completed_rate: Share of task runs with an answer, the fallback's included.
        completed_interval: 95 % Wilson interval over tasks.
        completed_unaided_rate: Share of task runs answered without the fallback.
        completed_unaided_interval: 95 % Wilson interval over tasks.
        failure_modes: Number of task runs per failure mode, most frequent first.
        wrong: Task runs that were completed without fallback and not solved.
        categories: Results per category.
        relative_quality: Normalized relative quality (NRQ), `None` without a reference or with
            fewer than two paradigms or categories.
        composite_z: Composite Z-score, `None` with fewer than two paradigms or categories.
        e2e_s: Seconds of a task run.
        e2e_s_per_solved_task: All seconds over solved task runs, `None` if none was solved.
        ttft_s: Time to first token.
        tpot_s: Time per output token, pooled over task runs.
        prefill_tok_per_s: Pooled over task runs.
        decode_tok_per_s: Pooled over task runs.
        phases_s: Mean seconds per phase.
        tokens_per_task: Mean tokens per task run.
        turns_per_task: Mean model turns, the fallback's included.
        tool_calls_per_task: Mean number of tools run.
        calls_per_task: Mean numbers of calls, those of functions that are not run included.
        repetitions: How well repetitions agree.
        memory: Peak resident memory.
        memory_detail: Memory by phase and by kind, predicted and measured; `None` where it was not
            measured alone.
        cold_start: Cost before the first task, `None` if it was not measured.
        energy: Energy of the headline total, `None` if nothing was measured.
        energy_others: Energy of the other totals, widest first; never added to anything.
        energy_estimate: Estimated energy, only if it was asked for; never compared.
        differences: Paired differences to the reference by figure: `solved_rate`, `e2e_s`,
            `tokens`, `energy_j`; empty for the reference itself.
    """

    paradigm: str
    tasks: int
    attempts: int
    solved: int
    solved_rate: float
    solved_interval: Interval | None
    completed_rate: float
    completed_interval: Interval | None
    completed_unaided_rate: float
    completed_unaided_interval: Interval | None
    failure_modes: dict[str, int]
    wrong: int
    categories: dict[str, CategoryResult]
    relative_quality: RelativeQuality | None
    composite_z: float | None
    e2e_s: Spread
    e2e_s_per_solved_task: float | None
    ttft_s: Spread | None
    tpot_s: float | None
    prefill_tok_per_s: float | None
    decode_tok_per_s: float | None
    phases_s: PhaseSeconds
    tokens_per_task: TokensPerTask
    turns_per_task: float
    tool_calls_per_task: float
    calls_per_task: CallsPerTask
    repetitions: Repetitions | None = None
    memory: Memory
    memory_detail: MemoryDetail | None = None
    cold_start: ColdStart | None
    energy: Energy | None
    energy_others: tuple[Energy, ...] = ()
    energy_estimate: EstimatedEnergy | None = None
    differences: dict[str, Difference]


class Recommendation(Record):
    """Which paradigm to deploy.

    Attributes:
        paradigm: Its name, `None` if the run does not tell.
        reason: One or two sentences for a person.
    """

    paradigm: str | None
    reason: str


class Summary(Record):
    """The content of `summary.json`.

    Attributes:
        schema_version: Version of this record.
        config: What every figure depends on.
        started_utc: When the first task run started.
        last_started_utc: When the last task run started.
        reference: The paradigm that differences are to, `None` if it was not run.
        recommendation: Which paradigm to deploy.
        paradigms: In the order of the configuration.
        sources: Every sensor that was tried, with its state.
        rss_high_water_bytes: The operating system's own record of the process's largest resident
            set, loading included, over the whole run.
        gpu_memory_peak_bytes: Largest readings of memory that GPUs have of their own, by source;
            with all paradigms loaded, and never added to resident memory.
        energy_totals: What each total of sources came to over the run, the headline first.
        conditions: What the machine went through, `None` where that was not recorded.
        learning: What was learned and what that brought, `None` for a run without memory.
        energy_note: Why energy was not measured and what to do; empty if it was.
        notes: What was left out or must be known to read the figures.
    """

    schema_version: int = SUMMARY_SCHEMA_VERSION
    config: RunConfig
    started_utc: str
    last_started_utc: str
    reference: str | None
    recommendation: Recommendation
    paradigms: tuple[ParadigmSummary, ...]
    sources: tuple[SourceInfo, ...]
    rss_high_water_bytes: float | None
    gpu_memory_peak_bytes: dict[str, float] = Field(default_factory=dict)
    energy_totals: tuple[TotalEnergy, ...] = ()
    conditions: RunConditions | None = None
    learning: Learning | None = None
    energy_note: str
    notes: tuple[str, ...]
