"""The folder of a run: chosen, found again after an interruption, and never mixed up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from edgeagent.errors import RunDataError
from edgeagent.record import jsonl
from edgeagent.record.run import (
    COLD_NAME,
    SAMPLES_NAME,
    TASKS_NAME,
    ColdRecord,
    RunConfig,
    SampleBatch,
    TaskRecord,
)

RUNS_DIR = Path("runs")
_FILES = (TASKS_NAME, COLD_NAME, SAMPLES_NAME)


@dataclass(frozen=True)
class RunFolder:
    """A run folder and what is in it already.

    Attributes:
        path: The folder.
        done: Keys (task, paradigm, repetition) of the finished task runs.
        cold: Paradigms whose cold start is recorded.
        session: Number for the sampler of this process.
    """

    path: Path
    done: frozenset[tuple[str, str, int]]
    cold: frozenset[str]
    session: int


def open_run_folder(config: RunConfig, out: Path | None, total: int) -> RunFolder:
    """Return the folder for a run, with torn last lines cut off.

    Args:
        config: Configuration of the run.
        out: The folder that the user named; `None` takes up the newest unfinished run of the same
            configuration below `runs/`, or else makes a new one there.
        total: Number of task runs that make the run complete.

    Raises:
        RunDataError: `out` holds a run of another configuration or cannot be made.
    """
    path = out or _unfinished(config, total) or _new_path(config)
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
    return RunFolder(
        path=path,
        done=_done(path),
        cold=frozenset(record.paradigm for record in _read(path / COLD_NAME, ColdRecord)),
        session=max((batch.session + 1 for batch in samples), default=0),
    )


def _read(path: Path, record_type: type[jsonl.RecordT]) -> Iterator[jsonl.RecordT]:
    if path.is_file():
        yield from jsonl.read(path, record_type)


def _done(path: Path) -> frozenset[tuple[str, str, int]]:
    return frozenset(
        (record.task_id, record.paradigm, record.repetition)
        for record in _read(path / TASKS_NAME, TaskRecord)
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


def _unfinished(config: RunConfig, total: int) -> Path | None:
    """Return the newest folder below `runs/` whose run is this one and not complete."""
    if not RUNS_DIR.is_dir():
        return None
    for path in sorted(RUNS_DIR.iterdir(), key=lambda path: path.name, reverse=True):
        if not path.name.startswith(_stem(config)):
            continue
        try:
            if _first_config(path) == config and len(_done(path)) < total:
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
