"""Running a benchmark: memory, then rounds of ceilings, loads and cells, each in fresh processes.

A round measures everything once, in an order of its own: the device's limits, a cold load, a warm
load and every cell. What differs from process to process and what drifts with time is so part of
the spread between rounds, which the intervals are computed from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from edgeagent.clock import NS_PER_S, utc_now_iso
from edgeagent.errors import EdgeAgentError
from edgeagent.meter.host.preflight import preflight
from edgeagent.meter.host.state import take_host_state
from edgeagent.profiling.bench.ceilings import measure_ceilings
from edgeagent.profiling.bench.client import BenchWorker
from edgeagent.profiling.bench.energy import EnergyMeter, energy_of
from edgeagent.profiling.bench.messages import CeilingJob, CeilingReply, Loaded
from edgeagent.profiling.bench.page_cache import Dropped, drop_from_page_cache, resident_share
from edgeagent.profiling.bench.phases import measure_load, measure_phase
from edgeagent.profiling.bench.settings import BenchSettings, plan_round
from edgeagent.profiling.bench.sizes import model_sizes
from edgeagent.record.bench import CeilingReading, Cell
from edgeagent.record.bench_run import BenchRecord, CellRecord, LoadRecord, PhaseRecord
from edgeagent.record.conditions import HostState

WARM_UP_STEPS = 4
"""Decode steps before the cells of a process; its first prompt is longer than a kernel's start."""


@dataclass(frozen=True, slots=True)
class BenchProgress:
    """How far a benchmark is.

    Attributes:
        stage: `memory` or `round 2 of 5`.
        detail: What is measured now.
        done: Finished parts of the benchmark.
        total: All parts.
    """

    stage: str
    detail: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What a benchmark found.

    Attributes:
        record: Everything that was measured.
        interrupted: Whether Ctrl-C ended it early.
        error: What ended it early otherwise, `None` if nothing did.
    """

    record: BenchRecord
    interrupted: bool = False
    error: EdgeAgentError | None = None


OpenWorker = Callable[[BenchSettings], BenchWorker]
OnBenchProgress = Callable[[BenchProgress], None]


@dataclass(frozen=True, slots=True)
class BenchParts:
    """What a benchmark is made of; tests replace the slow ones.

    Attributes:
        open_worker: Makes a worker that is not started yet.
        measure_ceilings: Measures the device's limits once.
        drop: Empties the page cache of some files.
        host_state: Looks at the machine.
        energy: Reads energy while cells are measured, `None` for no joules.
    """

    open_worker: OpenWorker = lambda settings: BenchWorker(
        settings.package.folder,
        settings.engine,
        seed=settings.seed,
        context_len=settings.context_len(),
    )
    measure_ceilings: Callable[[CeilingJob], CeilingReply] = measure_ceilings
    drop: Callable[..., Dropped] = drop_from_page_cache
    host_state: Callable[[], HostState] = take_host_state
    energy: EnergyMeter | None = None


def run_bench(
    settings: BenchSettings,
    on_progress: OnBenchProgress = lambda _progress: None,
    parts: BenchParts | None = None,
) -> BenchResult:
    """Measure, and return what was measured; Ctrl-C and late errors keep it.

    Args:
        settings: What to measure.
        on_progress: Told how far it is.
        parts: Replaces what it is made of.

    Raises:
        EdgeAgentError: The package cannot be run, or something failed before any cell was measured.
        KeyboardInterrupt: Ctrl-C came before any cell was measured.
    """
    run = _Run(settings, on_progress, parts or BenchParts())
    try:
        run.measure()
    except KeyboardInterrupt:
        if not run.cells:
            raise
        return BenchResult(run.record(complete=False), interrupted=True)
    except EdgeAgentError as error:
        if not run.cells:
            raise
        return BenchResult(run.record(complete=False), error=error)
    return BenchResult(run.record(complete=True))


class _Run:
    """A benchmark under way."""

    def __init__(
        self, settings: BenchSettings, on_progress: OnBenchProgress, parts: BenchParts
    ) -> None:
        self._settings = settings
        self._on_progress = on_progress
        self._parts = parts
        self._started_utc = utc_now_iso()
        self._plan = settings.cells()
        self._files = [path for path in settings.package.folder.rglob("*") if path.is_file()]
        self._loaded: Loaded | None = None
        self._loads: list[LoadRecord] = []
        self._phases: list[PhaseRecord] = []
        self._ceilings: list[CeilingReading] = []
        self._cache_bytes: int | None = None
        self._before = parts.host_state()
        self._after: HostState | None = None
        self._warnings = preflight(self._before)
        self._notes = list(settings.notes())
        self._has_ceilings = settings.engine.ep == "cpu"
        self._can_drop = True
        self._done = 0
        self._total = 1 + settings.repeat * (len(self._plan) + 3)
        self.cells: list[CellRecord] = []

    def measure(self) -> None:
        if not self._has_ceilings:
            self._note(
                "The device's limits were not measured: they are those of the CPU, but the model "
                f"ran on {self._settings.engine.ep}."
            )
        self._measure_memory()
        for round_ in range(self._settings.repeat):
            self._measure_round(round_)
        self._after = self._parts.host_state()
        self._tell("finished", "", 1)

    def record(self, *, complete: bool) -> BenchRecord:
        if self._loaded is None:
            raise ValueError("nothing was loaded")
        return BenchRecord(
            config=self._settings.config(self._loaded),
            sizes=model_sizes(self._settings.package, self._settings.engine),
            started_utc=self._started_utc,
            complete=complete,
            loads=tuple(self._loads),
            memory=tuple(self._phases),
            cells=tuple(self.cells),
            ceilings=tuple(self._ceilings),
            cache_bytes=self._cache_bytes,
            spec=self._settings.spec,
            energy_source=self._parts.energy.source if self._parts.energy else None,
            before=self._before,
            after=self._after,
            warnings=self._warnings,
            notes=tuple(self._notes),
        )

    def _measure_memory(self) -> None:
        self._tell("memory", "load, prefill and decode", 0)
        with self._parts.open_worker(self._settings) as worker:
            self._phases.append(measure_load(worker))
            self._loaded = worker.loaded
            for kind in ("prefill", "decode"):
                cells = [cell for cell in self._plan if cell.kind == kind]
                if cells:
                    self._phases.append(measure_phase(worker, cells[-1]))

    def _measure_round(self, round_: int) -> None:
        settings, stage = self._settings, f"round {round_ + 1} of {self._settings.repeat}"
        self._tell(stage, "the device's limits", 1)
        if self._has_ceilings and self._loaded is not None:
            job = CeilingJob(
                threads=self._loaded.threads,
                allow_spinning=settings.engine.allow_spinning,
                round=round_,
                seed=settings.seed,
            )
            reply = self._parts.measure_ceilings(job)
            self._ceilings += reply.readings
            self._cache_bytes = reply.cache_bytes
            for note in reply.notes:
                self._note(note)
        self._tell(stage, "cold load", 1)
        self._measure_cold_load(round_)
        self._tell(stage, "warm load", 1)
        min_ns = math.ceil(settings.min_duration_s * NS_PER_S / settings.repeat)
        share = resident_share(self._files)
        with self._parts.open_worker(settings) as worker:
            self._loads.append(self._load(worker, round_, cold=False, share=share))
            worker.warm_up(*self._warm_up_cells())
            for cell in plan_round(self._plan, round_, settings.seed):
                self._tell(stage, cell.label, 1)
                self._measure_cell(worker, round_, cell, min_ns)

    def _measure_cold_load(self, round_: int) -> None:
        if not self._can_drop:
            return
        dropped = self._parts.drop(self._files)
        if not dropped.cold:
            self._note(
                f"Cold loads were not measured: the page cache holds the package, and "
                f"{dropped.reason}."
            )
            self._can_drop = False
            return
        with self._parts.open_worker(self._settings) as worker:
            self._loads.append(self._load(worker, round_, cold=True, share=dropped.resident_share))

    def _load(
        self, worker: BenchWorker, round_: int, *, cold: bool, share: float | None
    ) -> LoadRecord:
        loaded = worker.load()
        first = self._first_cell()
        return LoadRecord(
            round=round_,
            cold=cold,
            resident_share=share,
            load=loaded.reading,
            first_cell=first,
            first=worker.measure(first),
        )

    def _first_cell(self) -> Cell:
        """The shortest prompt."""
        return Cell(kind="prefill", tokens=min(self._settings.fitting_prompt_lens() or (1,)))

    def _warm_up_cells(self) -> tuple[Cell, ...]:
        """One native call of a prompt in full length, and some decode steps."""
        longest = max(self._settings.fitting_prompt_lens() or (1,))
        call = min(longest, self._settings.engine.prefill_chunk_len)
        room = self._settings.context_len() - 1
        return (
            Cell(kind="prefill", tokens=min(call, room)),
            Cell(kind="decode", tokens=min(WARM_UP_STEPS, room)),
        )

    def _measure_cell(self, worker: BenchWorker, round_: int, cell: Cell, min_ns: int) -> None:
        energy, joules = self._parts.energy, None
        if energy is None:
            readings = worker.measure_many(cell, min_ns=min_ns)
        else:
            energy.begin()
            readings = worker.measure_many(cell, min_ns=min_ns, meanwhile=energy.poll)
            energy.end()
            joules = energy_of(readings, energy.joules)
        order = len(self.cells)
        self.cells.append(
            CellRecord(round=round_, order=order, cell=cell, readings=readings, energy_j=joules)
        )

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def _tell(self, stage: str, detail: str, finished: int) -> None:
        """Say what begins now, and that so many parts ended."""
        self._done += finished
        self._on_progress(BenchProgress(stage, detail, self._done, self._total))
