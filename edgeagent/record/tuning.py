"""What a search for the best settings measured and decided: the file beside a device profile."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.run import HostRecord

Phase = Literal["reference", "screen", "confirm", "check"]
"""`screen` looks for the most promising of several candidates, `confirm` measures it afresh against
the settings held so far, `check` measures what was found afresh against the default."""


class Verdict(StrEnum):
    """What became of a candidate."""

    BETTER = "better"
    NOT_DISTINGUISHABLE = "not distinguishable"
    WORSE = "worse"
    PROMISING = "promising"
    """The best of a screening, to be measured afresh."""
    SET_ASIDE = "set aside"
    """Not the best of a screening, which decides nothing else."""
    REJECTED = "rejected"
    """It cannot be used here: another answer, too much memory, an error of the runtime."""
    UNDECIDED = "not decided"
    """The time was up before it was known."""


class Candidate(Record):
    """Settings that were tried.

    Attributes:
        label: Short text for people.
        settings: As `EngineConfig.recorded` gives them; number 0 of a record is the default.
        rejected: Why it cannot be used, empty if it can.
    """

    label: str
    settings: dict[str, str | int | float | bool | None]
    rejected: str = ""


class Trial(Record):
    """One piece of work with one candidate.

    Attributes:
        order: Position in the whole search, from 0.
        stage: What was searched, such as `threads and spinning`.
        phase: Part of the stage.
        round: Of the phase, from 0; all trials of a round are compared with each other.
        candidate: Number of the candidate.
        cost: In the record's `cost_unit`.
        parts: Measured pieces of the work by name, in seconds; per token where it says so.
        t0_ns: Start on the monotonic clock.
        t1_ns: Its end.
        rss_peak_bytes: Largest resident memory of the worker, `None` if the system does not tell.
        drafted: Tokens that speculation guessed.
        accepted: Guesses that were right.
    """

    order: int
    stage: str
    phase: Phase
    round: int
    candidate: int
    cost: float = Field(gt=0)
    parts: dict[str, float]
    t0_ns: int
    t1_ns: int
    rss_peak_bytes: int | None = None
    drafted: int = 0
    accepted: int = 0


class Comparison(Record):
    """A candidate against others, from paired trials of the same rounds.

    Attributes:
        stage: What was searched.
        phase: Part of the stage.
        candidate: Number of the candidate.
        against: Number of what it is compared with.
        pairs: Rounds that both were measured in.
        cost_ratio: Geometric mean of the paired ratios of costs; below 1 the candidate is better.
            `None` without pairs.
        low: Lower end of its 95 % paired bootstrap interval; `None` for a screening, which decides
            nothing but what is measured next.
        high: Upper end.
        verdict: What follows from it.
        reason: One sentence where the figures do not say it.
    """

    stage: str
    phase: Phase
    candidate: int
    against: int
    pairs: int
    cost_ratio: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict
    reason: str = ""


class TuningRecord(Record):
    """A whole search.

    Attributes:
        schema_version: Version of this record.
        model_id: Of the package.
        package_sha256: SHA-256 of its manifest.
        runtime: Name and version.
        ep: Execution provider.
        edgeagent_version: Version that measured.
        host: The device.
        created_utc: When the search began.
        goal: `latency`, `throughput` or `energy`.
        cost_unit: `s` or `J`.
        work: The piece of work and its weights in words.
        work_tokens: Tokens of that piece of work, weighted; over seconds it gives a rate.
        energy_source: Total that energy was read from, empty if it was not.
        seed: Of the orders within rounds.
        context_len: Tokens of the KV cache of every worker.
        memory_limit_bytes: Most resident memory of a worker, `None` for no limit.
        max_minutes: Time that was given.
        elapsed_s: Time that it took.
        ended: `complete`, `time is up` or `interrupted`.
        notes: What was not searched and why, and what disturbed the measurement.
        candidates: Everything that was tried, the default first.
        trials: Everything that was measured, whole rounds only, in order.
        comparisons: Every verdict, in order.
        chosen: Number of the candidate that was chosen; 0 keeps the default.
    """

    schema_version: int = SCHEMA_VERSION
    model_id: str
    package_sha256: str
    runtime: str
    ep: str
    edgeagent_version: str
    host: HostRecord
    created_utc: str
    goal: str
    cost_unit: Literal["s", "J"]
    work: str
    work_tokens: float
    energy_source: str = ""
    seed: int
    context_len: int
    memory_limit_bytes: int | None = None
    max_minutes: float
    elapsed_s: float
    ended: Literal["complete", "time is up", "interrupted"]
    notes: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...]
    trials: tuple[Trial, ...]
    comparisons: tuple[Comparison, ...]
    chosen: int = 0

    @property
    def check(self) -> Comparison | None:
        """The chosen settings against the default, `None` if the default was kept."""
        if self.chosen == 0:
            return None
        return next((c for c in reversed(self.comparisons) if c.phase == "check"), None)
