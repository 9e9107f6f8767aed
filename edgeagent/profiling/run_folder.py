"""The folder of a run: chosen, found again after an interruption, and never mixed up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from edgeagent.clock import to_seconds
from edgeagent.errors import RunDataError
from edgeagent.record import jsonl
from edgeagent.record.baseline import BASELINES_NAME
from edgeagent.record.conditions import CONDITIONS_NAME
from edgeagent.record.external import ALIGNMENT_NAME
from edgeagent.record.learning import LEARNED_NAME
from edgeagent.record.pulse import PULSES_NAME
from edgeagent.record.reference import REFERENCE_NAME
from edgeagent.record.repetitions import Timing
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

RUNS_DIR = Path("runs")
_FILES = (
    TASKS_NAME,
    COLD_NAME,
    SAMPLES_NAME,
    EDGES_NAME,
    BASELINES_NAME,
    CONDITIONS_NAME,
    REFERENCE_NAME,
    PULSES_NAME,
    EXTERNAL_NAME,
    ALIGNMENT_NAME,
    LEARNED_NAME,
)


@dataclass(frozen=True)
class RunFolder:
    """A run folder and what is in it already.

    Attributes:
        path: The folder.
        timings: Of the finished task runs.
        complete: Whether nothing is left to measure.
        cold: Paradigms whose cold start is recorded.
        session: Number for the sampler of this process.
    """

    path: Path
    timings: tuple[Timing, ...]
    complete: bool
    cold: frozenset[str]
    session: int


IsComplete = Callable[[Sequence[Timing]], bool]
"""Whether these task runs are all that the protocol asks for."""


def open_run_folder(config: RunConfig, out: Path | None, is_complete: IsComplete) -> RunFolder:
    """Return the folder for a run, with torn last lines cut off.

    Args:
        config: Configuration of the run.
        out: The folder that the user named; `None` takes up the newest unfinished run of the same
            configuration below `runs/`, or else makes a new one there.
        is_complete: Tells from the finished task runs whether the run is complete.

    Raises:
        RunDataError: `out` holds a run of another configuration or cannot be made.
    """
    path = out or _unfinished(config, is_complete) or _new_path(config)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDataError(
            f"{path} cannot be made: {error.strerror}; choose another folder."
        ) from error
    for name in _FILES:
        jsonl.truncate_torn_tail(path / name)
    found = _first_config(path)
    if found is not None and found != config:
        differing = [
            name for name in RunConfig.model_fields if getattr(found, name) != getattr(config, name)
        ]
        raise RunDataError(
            f"{path} holds a run with other settings ({', '.join(differing)} differ); choose "
            "another folder with --out."
        )
    samples = _read(path / SAMPLES_NAME, SampleBatch)
    timings = _timings(path)
    return RunFolder(
        path=path,
        timings=timings,
        complete=is_complete(timings),
        cold=frozenset(record.paradigm for record in _read(path / COLD_NAME, ColdRecord)),
        session=max((batch.session + 1 for batch in samples), default=0),
    )


def _read(path: Path, record_type: type[jsonl.RecordT]) -> Iterator[jsonl.RecordT]:
    if path.is_file():
        yield from jsonl.read(path, record_type)


def _timings(path: Path) -> tuple[Timing, ...]:
    return tuple(timing_of(record) for record in _read(path / TASKS_NAME, TaskRecord))


def timing_of(record: TaskRecord) -> Timing:
    """Return how long a task run took."""
    return Timing(
        task_id=record.task_id,
        paradigm=record.paradigm,
        repetition=record.repetition,
        e2e_s=to_seconds(record.spans[0].duration_ns) if record.spans else 0.0,
    )


def _first_config(path: Path) -> RunConfig | None:
    """Return the configuration of the first record of any kind, `None` for an empty folder."""
    readers: tuple[Iterator[TaskRecord | ColdRecord | SampleBatch], ...] = (
        _read(path / TASKS_NAME, TaskRecord),
        _read(path / COLD_NAME, ColdRecord),
        _read(path / SAMPLES_NAME, SampleBatch),
    )
    first = next(chain.from_iterable(readers), None)
    return None if first is None else first.config


def _unfinished(config: RunConfig, is_complete: IsComplete) -> Path | None:
    """Return the newest folder below `runs/` whose run is this one and not complete."""
    if not RUNS_DIR.is_dir():
        return None
    for path in sorted(RUNS_DIR.iterdir(), key=lambda path: path.name, reverse=True):
        if not path.name.startswith(_stem(config)):
            continue
        try:
            if _first_config(path) == config and not is_complete(_timings(path)):
                return path
        except RunDataError:
            continue  # damaged or of another version: left alone
    return None


def _new_path(config: RunConfig) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = RUNS_DIR / f"{_stem(config)}-{stamp}"
    number = 2
    while path.exists():
        path = RUNS_DIR / f"{_stem(config)}-{stamp}-{number}"
        number += 1
    return path


def _stem(config: RunConfig) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{config.model_id}-{config.suite.partition('@')[0]}")
