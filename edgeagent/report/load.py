"""Reading a run folder into memory, and refusing what does not belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import RunDataError
from edgeagent.record import jsonl
from edgeagent.record.baseline import BASELINES_NAME, BaselineRecord
from edgeagent.record.conditions import CONDITIONS_NAME, ConditionsRecord
from edgeagent.record.run import (
    COLD_NAME,
    EDGES_NAME,
    EXTERNAL_NAME,
    SAMPLES_NAME,
    TASKS_NAME,
    ColdRecord,
    RunConfig,
    SampleBatch,
    TaskRecord,
)
from edgeagent.record.samples import SourceInfo
from edgeagent.record.spans import Span
from edgeagent.report.sessions import SampleSession, last_states, make_sessions

_MAX_COUNT = 1 << 63
"""Times, sizes and counts beyond 64 bits are damage, not data; sums of them would overflow."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run folder in memory.

    Attributes:
        folder: Where it was read from.
        config: The configuration that every record shares.
        tasks: One record per task, paradigm and repetition, in the order they were run.
        sources: Every source of samples with its last known state.
        sessions: The readings, one entry per process that took part.
        cold: The cold start of each paradigm that has one, by its name.
        conditions: The state of the machine before and after each process, in order.
        largest_gap_ns: Longest time between two readings of one source, `None` without samples.
        notes: Sentences about what was left out while reading.
    """

    folder: Path
    config: RunConfig
    tasks: tuple[TaskRecord, ...]
    sources: tuple[SourceInfo, ...]
    sessions: tuple[SampleSession, ...]
    cold: Mapping[str, ColdRecord]
    conditions: tuple[ConditionsRecord, ...]
    largest_gap_ns: int | None
    notes: tuple[str, ...]


def load_run(folder: Path) -> Run:
    """Read `tasks.jsonl` of a run folder, and those of the other files of a run that it has.

    Raises:
        RunDataError: The folder or its tasks are missing or empty, a line is damaged or of another
            schema version, or records of different configurations are mixed.
    """
    tasks_path = folder / TASKS_NAME
    if not tasks_path.is_file():
        raise RunDataError(
            f"{folder} is not a run folder: it has no {TASKS_NAME}; "
            "name a folder that `edgeagent profile` wrote."
        )
    notes: list[str] = []
    tasks = _read_tasks(tasks_path, notes)
    config = tasks[0].config
    if not (folder / SAMPLES_NAME).is_file():
        notes.append(f"The run has no {SAMPLES_NAME}, so memory and energy were not measured.")
    samples, edges, external = (
        _read_batches(folder / name, config, notes)
        for name in (SAMPLES_NAME, EDGES_NAME, EXTERNAL_NAME)
    )
    baselines = _read_baselines(folder / BASELINES_NAME, config, notes)
    return Run(
        folder=folder,
        config=config,
        tasks=tasks,
        sources=last_states((*edges, *samples, *external)),
        sessions=make_sessions((*edges, *samples), external, baselines),
        cold=_read_cold(folder / COLD_NAME, config, notes),
        conditions=_read_conditions(folder / CONDITIONS_NAME, config, notes),
        largest_gap_ns=max((batch.largest_gap_ns for batch in samples), default=None),
        notes=tuple(notes),
    )


def _read_tasks(path: Path, notes: list[str]) -> tuple[TaskRecord, ...]:
    tasks: dict[tuple[str, str, int], TaskRecord] = {}
    repeated = 0
    config: RunConfig | None = None
    for number, task in enumerate(jsonl.read(path, TaskRecord, on_torn=notes.append), 1):
        where = f"{path}, line {number}"
        if config is None:
            config = task.config
            _check_counts((config.repeat, config.package_bytes, config.host.memory_bytes), where)
        _check_config(task.config, config, where)
        _check_counts((task.repetition, task.order, task.outcome.turns), where)
        _check_trace(task.spans, where)
        key = (task.task_id, task.paradigm, task.repetition)
        repeated += key in tasks
        tasks.setdefault(key, task)
    if not tasks:
        raise RunDataError(f"{path} holds no finished task; run the same profile again.")
    if repeated:
        notes.append(f"{repeated} task runs are recorded twice; the first record counts.")
    return tuple(sorted(tasks.values(), key=lambda task: task.order))


def _read_batches(path: Path, config: RunConfig, notes: list[str]) -> tuple[SampleBatch, ...]:
    if not path.is_file():
        return ()
    batches = []
    for number, batch in enumerate(jsonl.read(path, SampleBatch, on_torn=notes.append), 1):
        where = f"{path}, line {number}"
        _check_config(batch.config, config, where)
        _check_counts((batch.largest_gap_ns,), where)
        _check_counts((abs(sample.t_ns) for sample in batch.samples), where)
        _check_counts((sample.width_ns for sample in batch.samples), where)
        _check_counts((abs(failure.t_ns) for failure in batch.failures), where)
        batches.append(batch)
    return tuple(batches)


def _read_baselines(path: Path, config: RunConfig, notes: list[str]) -> tuple[BaselineRecord, ...]:
    if not path.is_file():
        return ()
    baselines = []
    for number, record in enumerate(jsonl.read(path, BaselineRecord, on_torn=notes.append), 1):
        where = f"{path}, line {number}"
        _check_config(record.config, config, where)
        _check_counts((abs(record.t0_ns), abs(record.t1_ns)), where)
        _check_counts((record.session, record.t1_ns - record.t0_ns), where)
        baselines.append(record)
    return tuple(baselines)


def _read_cold(path: Path, config: RunConfig, notes: list[str]) -> dict[str, ColdRecord]:
    if not path.is_file():
        return {}
    cold = {}
    for number, record in enumerate(jsonl.read(path, ColdRecord, on_torn=notes.append), 1):
        where = f"{path}, line {number}"
        _check_config(record.config, config, where)
        counts = (record.load_ns, record.warm_up_ns, record.prefix_tokens, record.rss_peak_bytes)
        _check_counts((count for count in counts if count is not None), where)
        cold[record.paradigm] = record
    return cold


def _read_conditions(
    path: Path, config: RunConfig, notes: list[str]
) -> tuple[ConditionsRecord, ...]:
    if not path.is_file():
        return ()
    found = []
    for number, record in enumerate(jsonl.read(path, ConditionsRecord, on_torn=notes.append), 1):
        where = f"{path}, line {number}"
        _check_config(record.config, config, where)
        states = (record.before, record.after)
        _check_counts((abs(state.t_ns) for state in states if state is not None), where)
        found.append(record)
    return tuple(found)


def _check_config(found: RunConfig, expected: RunConfig, where: str) -> None:
    if found == expected:
        return
    differing = [
        name for name in RunConfig.model_fields if getattr(found, name) != getattr(expected, name)
    ]
    raise RunDataError(
        f"{where} was measured with another configuration ({', '.join(differing)} differ); "
        "records of different runs must be kept in folders of their own."
    )


def _check_counts(counts: Iterable[int], where: str) -> None:
    if not all(0 <= count < _MAX_COUNT for count in counts):
        raise RunDataError(f"{where} is damaged: a number is negative or absurdly large.")


def _check_trace(spans: tuple[Span, ...], where: str) -> None:
    """Refuse traces that no recorder writes, so that metrics need not guess about them."""
    if not spans:
        raise RunDataError(f"{where} is damaged: the task has no spans.")
    root = spans[0]
    if root.parent_id is not None:
        raise RunDataError(f"{where} is damaged: the first span has a parent.")
    seen = set()
    for span in spans:
        counts = (
            span.tokens_in,
            span.tokens_cached,
            span.tokens_out,
            span.tokens_forced,
            span.tokens_drafted,
            span.tokens_accepted,
        )
        valid = (
            span.id not in seen
            and (span is root or span.parent_id in seen)
            and root.t0_ns <= span.t0_ns <= span.t1_ns <= root.t1_ns
            and abs(span.t0_ns) < _MAX_COUNT
            and abs(span.t1_ns) < _MAX_COUNT
            and all(0 <= count < _MAX_COUNT for count in counts)
            and span.tokens_cached <= span.tokens_in
            and span.tokens_forced <= span.tokens_out
            and span.tokens_accepted <= min(span.tokens_drafted, span.tokens_out)
            and all(root.t0_ns <= t_ns <= root.t1_ns for t_ns in span.token_t_ns)
        )
        if not valid:
            raise RunDataError(f"{where} is damaged: span {span.id} does not fit the task's trace.")
        seen.add(span.id)
