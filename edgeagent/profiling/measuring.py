"""The timed part of a profile: baselines, repetitions of all tasks, and what the machine did."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from itertools import count

from edgeagent.clock import now_ns, to_seconds, utc_now_iso
from edgeagent.meter.discover import discover
from edgeagent.meter.external.load_pulse import Position
from edgeagent.meter.host.heat import temperature_c
from edgeagent.meter.sampler.edges import EdgeReader
from edgeagent.meter.sampler.held import HeldFiles
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.profiling.checks import score
from edgeagent.profiling.plan import PlannedRun, plan_repetition
from edgeagent.profiling.progress import OnProfileProgress, ProfileProgress
from edgeagent.profiling.protocol.baseline import (
    baseline_record,
    baseline_s,
    measures_energy,
    rest,
)
from edgeagent.profiling.protocol.conditions import Conditions
from edgeagent.profiling.protocol.cooling import cool_down
from edgeagent.profiling.protocol.pulses import record_pulses
from edgeagent.profiling.protocol.reference_load import ReferenceLoad
from edgeagent.profiling.protocol.stopping import decide
from edgeagent.profiling.run_folder import RunFolder, timing_of
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.profiling.workbench import Workbench
from edgeagent.record import jsonl
from edgeagent.record.baseline import BASELINES_NAME, BaselineWhen
from edgeagent.record.reference import REFERENCE_NAME
from edgeagent.record.run import EDGES_NAME, TASKS_NAME, RunConfig, TaskRecord
from edgeagent.record.samples import SampleKind, SourceInfo


class Measuring:
    """One session of a run: everything between the first and the last reading of its sampler."""

    def __init__(
        self,
        bench: Workbench,
        settings: ProfileSettings,
        config: RunConfig,
        folder: RunFolder,
        *,
        sources: Sequence[SourceInfo],
        on_progress: OnProfileProgress,
    ) -> None:
        """Prepare; `sources` are those of the running sampler."""
        self._bench = bench
        self._settings = settings
        self._config = config
        self._folder = folder
        self._sources = sources
        self._on_progress = on_progress
        self._timings = list(folder.timings)
        self._estimate = _Estimate()
        self._edges = _edge_reader(sources)

    def run(self) -> int:
        """Measure until the protocol is satisfied; return the number of task runs."""
        before = len(self._timings)
        folder, config = self._folder, self._config
        conditions = Conditions.begin(config, folder.path, folder.session)
        for warning in conditions.warnings:
            note = f"{warning.sentence} {warning.remedy}".strip()
            self._on_progress(ProfileProgress("preflight", "", 1, 1, note=note))
        threads = int(config.engine_settings.get("intra_op_num_threads") or 1)
        with ReferenceLoad(config, folder.session, threads) as reference:
            self._pulses("start")
            self._rest(BaselineWhen.BEFORE)
            self._repeat(reference)
            self._rest(BaselineWhen.AFTER)
            self._pulses("end")
        conditions.end()
        return len(self._timings) - before

    def _rest(self, when: BaselineWhen) -> None:
        """Record an idle baseline, if the protocol asks for one."""
        settings = self._settings
        energy = settings.power.load_pulse or any(map(measures_energy, self._sources))
        duration_s = baseline_s(settings.protocol.baseline_s, energy_is_measured=energy)
        if duration_s <= 0:
            return

        def show(done_s: float) -> None:
            self._on_progress(
                ProfileProgress("idle baseline", when.value, round(done_s), round(duration_s))
            )

        window_ns = rest(duration_s, show)
        record = baseline_record(self._config, self._folder.session, when, window_ns)
        jsonl.append(self._folder.path / BASELINES_NAME, record)

    def _pulses(self, position: Position) -> None:
        """Mark the run in the recording of an external meter, if that was asked for."""
        if self._settings.power.load_pulse:
            folder = self._folder
            record_pulses(folder.path, self._config, folder.session, position, self._on_progress)

    def _repeat(self, reference: ReferenceLoad) -> None:
        settings, protocol = self._settings, self._settings.protocol
        tasks = settings.suite.spec.task
        start_c = temperature_c(THIS_MACHINE) if protocol.cool_down_s > 0 else None
        done = {(t.task_id, t.paradigm, t.repetition) for t in self._timings}
        for repetition in count():
            plan = plan_repetition(tasks, settings.paradigms, repetition, settings.seed)
            todo = [planned for planned in plan if planned.key not in done]
            if repetition and todo and protocol.cool_down_s > 0:
                self._on_progress(ProfileProgress("cool-down", "", 0, 1))
                cool_down(lambda: temperature_c(THIS_MACHINE), start_c, protocol.cool_down_s)
            later = max(0, protocol.repeat - repetition - 1) * len(plan)
            self._run_tasks(todo, later, reference)
            decision = decide(self._timings, protocol, settings.paradigms, len(tasks))
            if decision.enough:
                break
            if todo and repetition + 1 >= protocol.repeat:
                self._say(f"repetition {repetition + 2} follows: {decision.reason}")
        self._record(reference)
        total = len(self._timings)
        self._on_progress(ProfileProgress("tasks", "", total, total, 0.0))

    def _run_tasks(self, todo: Sequence[PlannedRun], later: int, reference: ReferenceLoad) -> None:
        total = len(self._timings) + len(todo) + later
        for index, planned in enumerate(todo):
            if reference.due():
                self._record(reference)
            self._on_progress(
                ProfileProgress(
                    "tasks",
                    f"{planned.task.id} with {planned.paradigm}",
                    len(self._timings),
                    total,
                    self._estimate.remaining_s(todo[index:], later),
                )
            )
            t0_ns = now_ns()
            record = self._run_task(planned)
            jsonl.append(self._folder.path / TASKS_NAME, record)
            self._write_edges()
            self._timings.append(timing_of(record))
            self._estimate.add(planned.paradigm, to_seconds(now_ns() - t0_ns))

    def _run_task(self, planned: PlannedRun) -> TaskRecord:
        started_utc = utc_now_iso()
        outcome, task = self._bench.run(
            planned.paradigm,
            planned.task.prompt(),
            edges=self._edges,
            functions=planned.task.function_descriptions(),
        )
        return TaskRecord(
            config=self._config,
            task_id=planned.task.id,
            category=planned.task.category,
            paradigm=planned.paradigm,
            repetition=planned.repetition,
            order=planned.order,
            started_utc=started_utc,
            solved=score(planned.task, outcome),
            outcome=outcome,
            spans=task.recorder.trace(),
        )

    def _write_edges(self) -> None:
        """Keep the readings of counters at span edges; nothing runs meanwhile."""
        batch = self._edges.batch(self._config, self._folder.session)
        if batch is not None:
            jsonl.append(self._folder.path / EDGES_NAME, batch)

    def _record(self, reference: ReferenceLoad) -> None:
        jsonl.append(self._folder.path / REFERENCE_NAME, reference.run())

    def _say(self, note: str) -> None:
        total = len(self._timings)
        self._on_progress(ProfileProgress("tasks", "", total, total, note=note))


def _edge_reader(sources: Sequence[SourceInfo]) -> EdgeReader:
    """Return a reader of the energy counters that the sampler found, if there are any."""
    counters = {
        info.source for info in sources if measures_energy(info) and info.kind is SampleKind.COUNTER
    }
    if not counters:
        return EdgeReader(())
    found = discover(os.getpid(), SystemTree(read=HeldFiles())).meters
    return EdgeReader(meter for meter in found if meter.info.source in counters)


class _Estimate:
    """Time left, from the mean duration of each paradigm so far."""

    def __init__(self) -> None:
        self._durations_s: dict[str, list[float]] = defaultdict(list)

    def add(self, paradigm: str, duration_s: float) -> None:
        self._durations_s[paradigm].append(duration_s)

    def remaining_s(self, todo: Sequence[PlannedRun], later: int) -> float | None:
        """Return the time of `todo` and of as many runs of any paradigm as `later` says."""
        known = [duration for found in self._durations_s.values() for duration in found]
        if not known:
            return None
        overall = sum(known) / len(known)
        means = {name: sum(found) / len(found) for name, found in self._durations_s.items()}
        return later * overall + sum(means.get(run.paradigm, overall) for run in todo)
