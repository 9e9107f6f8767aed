"""Running a profile: cold starts, warm-up, then repetitions of every task with every paradigm."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeagent.engine.protocol import Engine
from edgeagent.meter.sampler.control import Sampler
from edgeagent.profiling.cold import measure_cold_start
from edgeagent.profiling.energy_limit import energy_reader
from edgeagent.profiling.learning import learn
from edgeagent.profiling.measuring import Measuring
from edgeagent.profiling.memory_prediction import predict_memory
from edgeagent.profiling.progress import OnProfileProgress, ProfileProgress
from edgeagent.profiling.protocol.conditions import low_memory
from edgeagent.profiling.protocol.stopping import decide
from edgeagent.profiling.run_folder import RunFolder, open_run_folder
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.profiling.workbench import Workbench, load_engine
from edgeagent.record import jsonl
from edgeagent.record.run import COLD_NAME, SAMPLES_NAME, RunConfig

WARM_UP_QUESTION = "How much is 21 plus 34?"
"""Run unrecorded: it compiles grammars and touches every page of the model."""


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
        on_folder: Told the run folder and the least number of task runs as soon as they are known.
        open_engine: Loads the model; by default the real engine. Cold starts are measured only
            with the default, because they need a process of their own.

    Raises:
        EdgeAgentError: The model cannot be loaded, the folder cannot be used, or the sampler
            cannot start. Tasks never raise: what goes wrong in one is its outcome.
    """
    config = settings.run_config()
    tasks = settings.tasks()
    folder = open_run_folder(
        config,
        settings.out,
        lambda timings: decide(timings, settings.protocol, settings.paradigms, len(tasks)).enough,
    )
    resumed = len(folder.timings)
    on_folder(folder, len(tasks) * len(settings.paradigms) * settings.protocol.repeat)
    if folder.complete:
        return ProfileResult(folder.path, measured=0, resumed=resumed)

    def open_bench() -> Workbench:  # with the settings as they are when it is called
        return Workbench(
            (open_engine or _open_engine)(settings),
            workspace=settings.agent_workspace(),
            budget=settings.agent_budget(),
            tool_call_format=config.tool_call_format,
            energy=energy_reader(settings.budget),
            on_note=lambda note: on_progress(ProfileProgress("preflight", "", 1, 1, note=note)),
        )

    if settings.learning:
        settings = learn(settings, config, folder.path, open_bench, on_progress)
    if open_engine is None:
        _measure_cold_starts(settings, config, folder, on_progress)
    bench = open_bench()
    try:
        _warm_up(bench, settings, on_progress)
        with Sampler(
            pid=os.getpid(),
            out=folder.path / SAMPLES_NAME,
            config=config,
            session=folder.session,
            meters=settings.power.meters,
            estimate=settings.power.estimate,
        ) as sampler:
            measuring = Measuring(
                bench,
                settings,
                config,
                folder,
                sources=sampler.sources,
                on_progress=on_progress,
            )
            measured = measuring.run()
    finally:
        bench.close()
    if sampler.summary is not None and sampler.summary.error:
        total = resumed + measured
        on_progress(ProfileProgress("tasks", "", total, total, note=sampler.summary.error))
    return ProfileResult(folder.path, measured=measured, resumed=resumed)


def _open_engine(settings: ProfileSettings) -> Engine:
    return load_engine(settings.package.folder, settings.engine)


def _measure_cold_starts(
    settings: ProfileSettings,
    config: RunConfig,
    folder: RunFolder,
    on_progress: OnProfileProgress,
) -> None:
    missing = [name for name in settings.paradigms if name not in folder.cold]
    predicted = [predict_memory(settings, name) for name in missing]
    needed_bytes = max((found.rss_peak_bytes for found in predicted if found), default=0)
    if (warning := low_memory(needed_bytes)) is not None:
        note = f"{warning.sentence} {warning.remedy}"
        on_progress(ProfileProgress("preflight", "", 1, 1, note=note))
    for index, paradigm in enumerate(missing):
        on_progress(ProfileProgress("cold start", paradigm, index, len(missing)))
        record = measure_cold_start(settings, config, paradigm)
        jsonl.append(folder.path / COLD_NAME, record)
    on_progress(ProfileProgress("cold start", "", len(missing), len(missing)))


def _warm_up(bench: Workbench, settings: ProfileSettings, on_progress: OnProfileProgress) -> None:
    paradigms = settings.paradigms
    for index, name in enumerate(paradigms):
        on_progress(ProfileProgress("warm-up", name, index, len(paradigms)))
        bench.paradigm(name).warm_up()
        for _ in range(settings.protocol.warm_ups):
            bench.run(name, WARM_UP_QUESTION)
    on_progress(ProfileProgress("warm-up", "", len(paradigms), len(paradigms)))
