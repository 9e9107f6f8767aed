"""Running a profile: cold starts, warm-up, then every task with every paradigm, each recorded."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeagent.clock import now_ns, to_seconds, utc_now_iso
from edgeagent.engine.protocol import Engine
from edgeagent.meter.sampler.control import Sampler
from edgeagent.profiling.cold import measure_cold_start
from edgeagent.profiling.plan import PlannedRun, make_plan
from edgeagent.profiling.run_folder import RunFolder, open_run_folder
from edgeagent.profiling.score import score
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.profiling.workbench import Workbench, load_engine
from edgeagent.record import jsonl
from edgeagent.record.run import COLD_NAME, SAMPLES_NAME, TASKS_NAME, RunConfig, TaskRecord

WARM_UP_QUESTION = "How much is 21 plus 34?"
"""Runs once per paradigm, unrecorded: it compiles grammars and touches every page of the model."""


@dataclass(frozen=True, slots=True)
class ProfileProgress:
    """How far a profile is.

    Attributes:
        stage: `cold start`, `warm-up` or `tasks`.
        detail: Current paradigm, and for tasks the current task.
        done: Finished parts of the stage.
        total: All parts of the stage.
        remaining_s: Estimated time left of the tasks, `None` if unknown yet.
        note: A sentence that should stay on the screen, else empty.
    """

    stage: str
    detail: str
    done: int
    total: int
    remaining_s: float | None = None
    note: str = ""


OnProfileProgress = Callable[[ProfileProgress], None]


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """Where a profile was recorded.

    Attributes:
        folder: The run folder.
        measured: Task runs that this call measured.
        resumed: Task runs that were there before.
    """

    folder: Path
    measured: int
    resumed: int


def run_profile(
    settings: ProfileSettings,
    on_progress: OnProfileProgress = lambda _progress: None,
    *,
    on_folder: Callable[[RunFolder, int], None] = lambda _folder, _total: None,
    open_engine: Callable[[ProfileSettings], Engine] | None = None,
) -> ProfileResult:
    """Measure what is not measured yet and return where it is recorded.

    Every finished task run is on disk before the next one starts, so Ctrl-C loses at most one;
    the same settings take an unfinished run up again.

    Args:
        settings: What to measure.
        on_progress: Told how far it is.
        on_folder: Told the run folder and the number of task runs as soon as they are known.
        open_engine: Loads the model; by default the real engine. Cold starts are measured only
            with the default, because they need a process of their own.

    Raises:
        EdgeAgentError: The model cannot be loaded, the folder cannot be used, or the sampler
            cannot start. Tasks never raise: what goes wrong in one is its outcome.
    """
    config = settings.run_config()
    plan = make_plan(settings.suite.spec.task, settings.paradigms, settings.repeat, settings.seed)
    folder = open_run_folder(config, settings.out, len(plan))
    on_folder(folder, len(plan))
    todo = [planned for planned in plan if planned.key not in folder.done]
    if todo:
        if open_engine is None:
            _measure_cold_starts(settings, config, folder, on_progress)
        engine = (open_engine or _open_engine)(settings)
        bench = Workbench(
            engine,
            documents=settings.suite.documents_dir,
            budget=settings.agent_budget(),
            tool_call_format=config.tool_call_format,
        )
        try:
            _warm_up(bench, settings.paradigms, on_progress)
            with Sampler(
                pid=os.getpid(),
                out=folder.path / SAMPLES_NAME,
                config=config,
                session=folder.session,
            ) as sampler:
                _run_tasks(bench, config, folder, todo, on_progress)
        finally:
            bench.close()
        if sampler.summary is not None and sampler.summary.error:
            on_progress(
                ProfileProgress("tasks", "", len(plan), len(plan), note=sampler.summary.error)
            )
    return ProfileResult(folder.path, measured=len(todo), resumed=len(plan) - len(todo))


def _open_engine(settings: ProfileSettings) -> Engine:
    return load_engine(settings.package.folder, settings.engine)


def _measure_cold_starts(
    settings: ProfileSettings,
    config: RunConfig,
    folder: RunFolder,
    on_progress: OnProfileProgress,
) -> None:
    missing = [name for name in settings.paradigms if name not in folder.cold]
    for index, paradigm in enumerate(missing):
        on_progress(ProfileProgress("cold start", paradigm, index, len(missing)))
        record = measure_cold_start(settings, config, paradigm)
        jsonl.append(folder.path / COLD_NAME, record)
    on_progress(ProfileProgress("cold start", "", len(missing), len(missing)))


def _warm_up(bench: Workbench, paradigms: tuple[str, ...], on_progress: OnProfileProgress) -> None:
    for index, name in enumerate(paradigms):
        on_progress(ProfileProgress("warm-up", name, index, len(paradigms)))
        bench.paradigm(name).warm_up()
        bench.run(name, WARM_UP_QUESTION)
    on_progress(ProfileProgress("warm-up", "", len(paradigms), len(paradigms)))


def _run_tasks(
    bench: Workbench,
    config: RunConfig,
    folder: RunFolder,
    todo: list[PlannedRun],
    on_progress: OnProfileProgress,
) -> None:
    clock = _Estimate()
    finished, total = len(folder.done), len(folder.done) + len(todo)
    for index, planned in enumerate(todo):
        on_progress(
            ProfileProgress(
                "tasks",
                f"{planned.task.id} with {planned.paradigm}",
                finished + index,
                total,
                clock.remaining_s(todo[index:]),
            )
        )
        t0_ns = now_ns()
        jsonl.append(folder.path / TASKS_NAME, _run_task(bench, config, planned))
        clock.add(planned.paradigm, to_seconds(now_ns() - t0_ns))
    on_progress(ProfileProgress("tasks", "", total, total, 0.0))


def _run_task(bench: Workbench, config: RunConfig, planned: PlannedRun) -> TaskRecord:
    started_utc = utc_now_iso()
    outcome, task = bench.run(planned.paradigm, planned.task.question)
    return TaskRecord(
        config=config,
        task_id=planned.task.id,
        category=planned.task.category.value,
        paradigm=planned.paradigm,
        repetition=planned.repetition,
        order=planned.order,
        started_utc=started_utc,
        solved=score(planned.task, outcome),
        outcome=outcome,
        spans=task.recorder.trace(),
    )


class _Estimate:
    """Time left, from the mean duration of each paradigm so far."""

    def __init__(self) -> None:
        self._durations_s: dict[str, list[float]] = defaultdict(list)

    def add(self, paradigm: str, duration_s: float) -> None:
        self._durations_s[paradigm].append(duration_s)

    def remaining_s(self, todo: list[PlannedRun]) -> float | None:
        known = [duration for found in self._durations_s.values() for duration in found]
        if not known:
            return None
        overall = sum(known) / len(known)
        means = {name: sum(found) / len(found) for name, found in self._durations_s.items()}
        return sum(means.get(planned.paradigm, overall) for planned in todo)
