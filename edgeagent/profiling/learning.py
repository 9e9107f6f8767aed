"""Measuring what a memory brings: learn from one half of a suite, measure on the other.

The tasks are split by the run's seed, each category in halves (`held_out`). A paradigm without
memory runs the learning half once, before anything is measured; what the checker accepted and what
was clean is remembered. The held-out half is then measured like any suite, with the paradigm and
with the same one with memory: so no task that is measured was ever remembered, and both see the
same tasks in one random order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgeagent.agent.memory.store import TraceStore
from edgeagent.agent.memory.trace import NotClean, distil
from edgeagent.agent.paradigms.remembering import SUFFIX, without_memory
from edgeagent.clock import to_seconds
from edgeagent.config.suite import TaskSpec
from edgeagent.profiling.checks import score
from edgeagent.profiling.held_out import split_tasks
from edgeagent.profiling.progress import OnProfileProgress, ProfileProgress
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.profiling.workbench import Workbench
from edgeagent.record import jsonl
from edgeagent.record.learning import LEARNED_NAME, MEMORY_NAME, LearnedRecord
from edgeagent.record.run import RunConfig


def learn(
    settings: ProfileSettings,
    config: RunConfig,
    folder: Path,
    open_bench: Callable[[], Workbench],
    on_progress: OnProfileProgress,
) -> ProfileSettings:
    """Run the learning half and remember what was solved; what is learned already is left out.

    Args:
        settings: With all tasks of the suite.
        config: Stands in every record.
        folder: The run folder; gets the memory and `learned.jsonl`.
        open_bench: Loads the model, if anything is left to learn.
        on_progress: Told how far it is.

    Returns:
        The settings of what is measured: the held-out tasks and the memory.

    Raises:
        EdgeAgentError: The model cannot be loaded or the memory cannot be written.
    """
    split = split_tasks(settings.suite.spec.task, settings.seed)
    known = _learned(folder)
    todo = [task for task in split.learning if task.id not in known]
    if todo:
        learner = next(without_memory(name) for name in settings.paradigms if SUFFIX in name)
        done = len(split.learning) - len(todo)
        bench = open_bench()
        try:
            with TraceStore(folder / MEMORY_NAME) as store:
                for index, task in enumerate(todo, done):
                    on_progress(ProfileProgress("learning", task.id, index, len(split.learning)))
                    record = _learn_one(bench, learner, task, store, config)
                    jsonl.append(folder / LEARNED_NAME, record)
        finally:
            bench.close()
    on_progress(ProfileProgress("learning", "", len(split.learning), len(split.learning)))
    spec = settings.suite.spec.model_copy(update={"task": split.held_out})
    return replace(
        settings,
        suite=replace(settings.suite, spec=spec),
        workspace=settings.workspace.model_copy(update={"memory": folder / MEMORY_NAME}),
        learning=False,
    )


def _learned(folder: Path) -> set[str]:
    path = folder / LEARNED_NAME
    found = jsonl.read(path, LearnedRecord) if path.is_file() else ()
    return {record.task_id for record in found}


def _learn_one(
    bench: Workbench, learner: str, task: TaskSpec, store: TraceStore, config: RunConfig
) -> LearnedRecord:
    outcome, run = bench.run(learner, task.prompt())
    solved = score(task, outcome)
    reason = ""
    if solved:
        trace = distil(
            task.prompt(),
            outcome,
            tools=tuple(bench.runtime.tools),
            model_id=config.model_id,
            accepted_by=f"checker:{config.suite}",
        )
        if isinstance(trace, NotClean):
            reason = trace.reason
        else:
            store.add(trace)
    spans = run.recorder.trace()
    return LearnedRecord(
        config=config,
        task_id=task.id,
        category=task.category,
        paradigm=learner,
        solved=solved,
        stored=solved and not reason,
        reason=reason,
        e2e_s=to_seconds(spans[0].duration_ns) if spans else 0.0,
    )
