"""The files of a run folder: tasks, samples, cold starts, and what their lines mean."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.memory import MemoryPrediction
from edgeagent.record.outcome import Outcome
from edgeagent.record.samples import ReadFailure, Sample, SourceInfo
from edgeagent.record.spans import Span

TASKS_NAME = "tasks.jsonl"
SAMPLES_NAME = "samples.jsonl"
COLD_NAME = "cold.jsonl"
EDGES_NAME = "edges.jsonl"
"""Counter readings at the edges of spans, taken by the measured process: `SampleBatch` lines."""

EXTERNAL_NAME = "external.jsonl"
"""Readings of meters outside the device, on its clock: `SampleBatch` lines."""


class HostRecord(Record):
    """The machine that a run was measured on.

    Attributes:
        os: Operating system and release.
        machine: Architecture, such as `x86_64` or `aarch64`.
        cpu: Processor name as the system gives it.
        cores_physical: Physical cores, `None` if the system does not tell.
        cores_usable: Logical cores that this process may use.
        memory_bytes: Installed memory, or a container's limit where that is lower.
        python: Version of the interpreter.
    """

    os: str
    machine: str
    cpu: str
    cores_physical: int | None
    cores_usable: int
    memory_bytes: int
    python: str


class RunConfig(Record):
    """Everything that a figure of a run depends on; repeated in every record of the run.

    Attributes:
        model_id: Recipe id or file stem.
        package_sha256: SHA-256 of the package's manifest.
        precision: Short description of the stored weights.
        package_bytes: Size of the package.
        engine: Engine name.
        engine_version: Version of the runtime.
        ep: Execution provider really used.
        engine_settings: Threads, spinning, chunk length and so on.
        suite: Suite name and version, `core@1`.
        suite_sha256: SHA-256 over the suite's file and documents.
        paradigms: In the order they are reported; `base` is the reference of differences.
        repeat: Repetitions of every task and paradigm, at least.
        protocol: The rest of the measuring protocol: what else had to be reached, warm-ups, rests.
        seed: Seed of the order and of sampling.
        budget: Turn, token, context and time limits, and whether agents are grounded.
        tool_call_format: How tools are called.
        workspace: SHA-256 of the files of tools, plugins and teams, by kind and file name.
        edgeagent_version: Version that measured.
        host: The machine.
    """

    model_id: str
    package_sha256: str
    precision: str
    package_bytes: int
    engine: str
    engine_version: str
    ep: str
    engine_settings: dict[str, str | int | float | bool | None]
    suite: str
    suite_sha256: str
    paradigms: tuple[str, ...]
    repeat: int
    protocol: dict[str, int | float | None] = Field(default_factory=dict)
    seed: int
    budget: dict[str, str | int | float | bool | None]
    tool_call_format: str
    workspace: dict[str, str] = Field(default_factory=dict)
    edgeagent_version: str
    host: HostRecord

    def digest(self) -> str:
        """Return a short digest; records of one run share it, so a resumed run can check it."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class TaskRecord(Record):
    """One task run with one paradigm: a line of `tasks.jsonl`.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration.
        task_id: Task of the suite.
        category: Its category.
        paradigm: `base`, `single`, `multi` or a later one.
        repetition: From 0.
        order: Position in the randomised order of the run, from 0.
        started_utc: Wall-clock time, for people.
        solved: Whether the checker accepted the answer.
        outcome: Answer, steps and failure mode.
        spans: The trace; its first span covers the whole task.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    task_id: str
    category: str
    paradigm: str
    repetition: int
    order: int
    started_utc: str
    solved: bool
    outcome: Outcome
    spans: tuple[Span, ...]


class ColdRecord(Record):
    """A paradigm alone in a fresh process: a line of `cold.jsonl`.

    The timed run keeps the caches of all paradigms side by side, so its memory belongs to none of
    them. Here each paradigm starts cold and runs a few tasks while it is watched from outside.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration.
        paradigm: Its name.
        load_ns: Loading the package.
        warm_up_ns: Opening the sessions and prefilling the prefixes of all roles.
        prefix_tokens: Length of these prefixes.
        sessions: KV caches that were opened.
        shares_sessions: Whether roles shared some of them, by the budget or for lack of memory.
        kv_cache_bytes: Computed size of these caches, `None` if unknown.
        tasks: Number of tasks run.
        rss_loaded_bytes: Resident memory after loading, before any cache was opened.
        rss_peak_bytes: Peak resident memory, by the system's own high-water mark where it has
            one, else the largest of the samples.
        rss_peak_source: Which of the two it is.
        rss_anon_bytes: Largest anonymous part, which the system cannot drop.
        rss_file_bytes: Largest file-backed part, such as mapped weights.
        rss_peak_by_phase_bytes: Peak resident memory of each phase by the system's own high-water
            mark: `start`, `import`, `load`, `warm_up`, the kinds of spans, and `rest`. Empty where
            the mark cannot be started anew.
        rss_anon_by_phase_bytes: Largest anonymous part at an edge of each phase.
        rss_file_by_phase_bytes: Largest file-backed part at an edge of each phase.
        pss_bytes: At the end, shared pages divided by the number of processes that share them.
        uss_bytes: At the end, pages that no other process shares.
        swap_peak_bytes: Largest part that was swapped out.
        predicted: What was predicted before anything was loaded, `None` if nothing was.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    paradigm: str
    load_ns: int
    warm_up_ns: int
    prefix_tokens: int
    sessions: int
    shares_sessions: bool = False
    kv_cache_bytes: int | None
    tasks: int
    rss_loaded_bytes: int | None
    rss_peak_bytes: int | None
    rss_peak_source: str
    rss_anon_bytes: int | None
    rss_file_bytes: int | None
    rss_peak_by_phase_bytes: dict[str, int] = Field(default_factory=dict)
    rss_anon_by_phase_bytes: dict[str, int] = Field(default_factory=dict)
    rss_file_by_phase_bytes: dict[str, int] = Field(default_factory=dict)
    pss_bytes: int | None = None
    uss_bytes: int | None = None
    swap_peak_bytes: int | None = None
    predicted: MemoryPrediction | None = None


class SampleBatch(Record):
    """Readings of about one second: a line of `samples.jsonl`.

    Attributes:
        schema_version: Version of this record.
        config: The full configuration.
        session: Number of the process within the run: 0 at first, one more after each resume.
        sources: Every source that was tried, with its state, in the first batch of a session; in
            the later ones only those whose state changed since.
        samples: The readings.
        failures: Readings that were tried and gave nothing.
        largest_gap_ns: Longest time between two consecutive readings of a source that is read every
            interval, the last reading of the batch before included.
        gaps_ns: The same for each source of its own, `None` in runs older than this field.
        stretch: By how much the sampler lengthened its intervals to stay cheap, `None` as above.
        cpu_s: Processor time that the sampler used since the batch before, `None` as above.
    """

    schema_version: int = SCHEMA_VERSION
    config: RunConfig
    session: int
    sources: tuple[SourceInfo, ...]
    samples: tuple[Sample, ...]
    failures: tuple[ReadFailure, ...] = ()
    largest_gap_ns: int
    gaps_ns: dict[str, int] | None = None
    stretch: float | None = None
    cpu_s: float | None = None
