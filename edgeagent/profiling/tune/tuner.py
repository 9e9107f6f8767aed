"""`edgeagent tune` as a function: search, then write the record and the device profile."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeagent import __version__
from edgeagent.agent.chat.template import ChatTemplate
from edgeagent.clock import utc_now_iso
from edgeagent.config.cores import usable_cores, usable_physical_cores
from edgeagent.config.package import Package
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.config.tuned import (
    Goal,
    TunedEngine,
    TunedFor,
    TunedGain,
    TunedHost,
    TunedProfile,
    make_tuned_dir,
    profile_path,
    tuned_dir,
    write_tuned,
)
from edgeagent.engine.genai_package import ALL_POSITIONS_NAME
from edgeagent.engine.genai_package import read_package as read_facts
from edgeagent.errors import ResourceError
from edgeagent.meter.discover import discover
from edgeagent.meter.host.facts import host_record
from edgeagent.meter.host.preflight import preflight
from edgeagent.meter.host.state import take_host_state
from edgeagent.profiling.energy_gauge import EnergyGauge
from edgeagent.profiling.engine_for import tuning_target
from edgeagent.profiling.tune.device import Device
from edgeagent.profiling.tune.resume import decided_pairs, load_record, resumed
from edgeagent.profiling.tune.search import Search, SearchStep
from edgeagent.profiling.tune.space import Space, describe
from edgeagent.profiling.tune.work import Work, make_work
from edgeagent.profiling.tune.workers import WorkerDevice
from edgeagent.record.atomic import write_text
from edgeagent.record.tuning import Candidate, TuningRecord

DEFAULT_SEED = 20260419
DEFAULT_MINUTES = 5.0


@dataclass(frozen=True)
class TuneSettings:
    """What is to be tuned.

    Attributes:
        package: The exported model.
        goal: What is to become better.
        ep: Execution provider.
        context_len: Tokens of the KV cache, `None` for that of an agent's role.
        memory_limit_bytes: Most resident memory of the engine's process, `None` for no limit.
        max_minutes: Time for the search.
        seed: Of the orders within rounds.
    """

    package: Package
    goal: Goal = "latency"
    ep: str = "cpu"
    context_len: int | None = None
    memory_limit_bytes: int | None = None
    max_minutes: float = DEFAULT_MINUTES
    seed: int = DEFAULT_SEED

    @property
    def context(self) -> int:
        """Tokens of the KV cache, within the package's context."""
        wanted = self.context_len or Budget().max_context_len
        return min(wanted, self.package.manifest.context_len)

    @property
    def predicted_bytes(self) -> int:
        """Memory that any settings need at least: the weights and the KV cache."""
        manifest = self.package.manifest
        weights = sum(size for name, size in manifest.files.items() if ".onnx.data" in name)
        return weights + self.context * manifest.kv_bytes_per_token


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What came out.

    Attributes:
        record: Everything measured.
        record_path: Where it was written.
        profile: The device profile, `None` if the default was kept.
        profile_path: Where it is; `None` with the default.
        removed: An older profile that the default was found to be as good as, `None` if none.
    """

    record: TuningRecord
    record_path: Path
    profile: TunedProfile | None
    profile_path: Path | None
    removed: Path | None = None


OnStep = Callable[[SearchStep], None]
OnNote = Callable[[str], None]


class Tuner:
    """One search on this device.

    Attributes:
        target: What settings are tuned for.
        space: What is searched.
        default: The settings that stay unless others are better.
        kept: Where finished rounds of an interrupted search are, `None` if nothing was kept.
    """

    def __init__(self, settings: TuneSettings) -> None:
        """Look at package and device; nothing is measured yet.

        Raises:
            EngineError: The package is damaged.
            ResourceError: It cannot fit the memory limit.
            ConfigError: The goal is energy and no sensor measures it.
        """
        limit = settings.memory_limit_bytes
        if limit is not None and settings.predicted_bytes > limit:
            raise ResourceError(
                f"Weights and a KV cache for {settings.context} tokens need at least "
                f"{settings.predicted_bytes / 1e6:,.0f} MB of memory, more than the limit of "
                f"{limit / 1e6:,.0f} MB; allow more, or choose a shorter context or a smaller "
                "model."
            )
        self.settings = settings
        self.target: TunedFor = tuning_target(settings.package)
        self.default = EngineConfig(ep=settings.ep)
        self.kept: Path | None = None
        self._gauge = EnergyGauge.find(discover(os.getpid())) if settings.goal == "energy" else None
        facts = read_facts(settings.package.folder)
        self._template = ChatTemplate(facts.chat_template, facts.chat_tokens)
        self._host = host_record()
        self._created_utc = utc_now_iso()
        self._deadline_s = 0.0
        self._began_s = 0.0
        self._notes: list[str] = []
        # The sizes of the work do not depend on the tokenizer, so the space is known before.
        self._plan = self._make_work(lambda _text: (0,))
        self.space = Space(
            physical_cores=usable_physical_cores(),
            logical_cores=usable_cores(),
            longest_prompt=self._plan.longest_prompt,
            has_all_positions=(settings.package.folder / ALL_POSITIONS_NAME).is_file(),
        )

    @property
    def work(self) -> str:
        """The piece of work in words."""
        return self._plan.description

    @property
    def cost_unit(self) -> str:
        """Unit of what a piece of work costs: `s` or `J`."""
        return "s" if self._gauge is None else "J"

    @property
    def elapsed_s(self) -> float:
        """Seconds since the search began."""
        return time.monotonic() - self._began_s

    def label(self, config: EngineConfig) -> str:
        """Return settings as people read them."""
        return describe(config, self.space.physical_cores)

    def run(self, on_step: OnStep, on_note: OnNote) -> TuneResult:
        """Search, and write what was found.

        Ctrl-C and errors keep the finished rounds, see `kept`; the same search goes on from there.

        Raises:
            EdgeAgentError: The default settings cannot be run, or nothing can be written.
        """
        make_tuned_dir()
        self._began_s = time.monotonic()
        self._deadline_s = self._began_s + 60 * self.settings.max_minutes
        self._notes = [*self.space.notes(), *self._disturbances()]
        for note in self._notes:
            on_note(note)
        with WorkerDevice(
            self.settings.package.folder,
            self.default,
            self._make_work,
            context_len=self.settings.context,
            memory_limit_bytes=self.settings.memory_limit_bytes,
            gauge=self._gauge,
        ) as device:
            search = self._search(device, on_step, on_note)
            try:
                search.run()
            except BaseException:
                self._keep(search)
                raise
        return self._write(search)

    def _search(self, device: Device, on_step: OnStep, on_note: OnNote) -> Search:
        known_pairs = {}
        kept = self._interrupted()
        if kept is not None:
            on_note(f"going on with {len(kept.trials)} measurements of {kept.created_utc}")
            device = resumed(device, kept)
            known_pairs = decided_pairs(kept)
        return Search(
            self.default,
            self.space.stages(),
            device,
            seed=self.settings.seed,
            remaining_s=lambda: self._deadline_s - time.monotonic(),
            known_pairs=known_pairs,
            on_step=on_step,
        )

    def _make_work(self, encode: Callable[[str], tuple[int, ...]]) -> Work:
        return make_work(
            self.settings.goal,
            context_len=self.settings.context,
            template=self._template,
            encode=encode,
        )

    def _disturbances(self) -> list[str]:
        state = take_host_state()
        warnings = preflight(state, wants_battery=False)
        return [f"{each.sentence} {each.remedy}".strip() for each in warnings]

    def _record(self, search: Search, ended: str) -> TuningRecord:
        ledger, settings = search.ledger, self.settings
        return TuningRecord.model_validate(
            {
                "model_id": self.target.model_id,
                "package_sha256": self.target.package_sha256,
                "runtime": self.target.runtime,
                "ep": settings.ep,
                "edgeagent_version": __version__,
                "host": self._host,
                "created_utc": self._created_utc,
                "goal": settings.goal,
                "cost_unit": self.cost_unit,
                "work": self.work,
                "work_tokens": self._plan.tokens,
                "energy_source": "" if self._gauge is None else self._gauge.source,
                "seed": settings.seed,
                "context_len": settings.context,
                "memory_limit_bytes": settings.memory_limit_bytes,
                "max_minutes": settings.max_minutes,
                "elapsed_s": self.elapsed_s,
                "ended": ended,
                "notes": tuple(self._notes),
                "candidates": tuple(
                    Candidate(
                        label=self.label(config),
                        settings=config.recorded(),
                        rejected=ledger.rejected.get(number, ""),
                    )
                    for number, config in enumerate(ledger.candidates)
                ),
                "trials": tuple(ledger.trials),
                "comparisons": tuple(ledger.comparisons),
                "chosen": search.chosen,
            }
        )

    def _write(self, search: Search) -> TuneResult:
        record = self._record(search, "complete" if search.complete else "time is up")
        record_path = self._path("json")
        write_text(record_path, record.model_dump_json(indent=1) + "\n")
        self._path("partial.json").unlink(missing_ok=True)
        check = record.check
        if check is None or check.cost_ratio is None or check.low is None or check.high is None:
            older = profile_path(self.target)
            if not search.complete or not older.is_file():
                return TuneResult(record, record_path, None, None)
            older.unlink()
            return TuneResult(record, record_path, None, None, removed=older)
        profile = TunedProfile(
            model_id=record.model_id,
            package_sha256=record.package_sha256,
            runtime=record.runtime,
            ep=record.ep,
            goal=self.settings.goal,
            created_utc=record.created_utc,
            edgeagent_version=__version__,
            record=record_path.name,
            host=self.target.host,
            gain=TunedGain(
                cost_ratio=check.cost_ratio, low=check.low, high=check.high, pairs=check.pairs
            ),
            engine=TunedEngine.of(search.ledger.candidates[search.chosen]),
        )
        return TuneResult(record, record_path, profile, write_tuned(self.target, profile))

    def _keep(self, search: Search) -> None:
        """Write the finished rounds of a search that did not come to its end."""
        if not search.ledger.trials:
            return
        path = self._path("partial.json")
        with contextlib.suppress(ResourceError):  # the reason for stopping is what counts
            write_text(path, self._record(search, "interrupted").model_dump_json(indent=1) + "\n")
            self.kept = path

    def _interrupted(self) -> TuningRecord | None:
        """Return what was kept of the same search, `None` if there is nothing."""
        record = load_record(self._path("partial.json"))
        if record is None:
            return None
        same = (
            record.package_sha256 == self.target.package_sha256
            and record.runtime == self.target.runtime
            and TunedHost.of(record.host) == self.target.host
            and (record.ep, record.seed) == (self.settings.ep, self.settings.seed)
            and record.context_len == self.settings.context
            and record.memory_limit_bytes == self.settings.memory_limit_bytes
            and record.work == self.work
        )
        return record if same else None

    def _path(self, suffix: str) -> Path:
        return tuned_dir() / f"{self.target.name}.{self.settings.goal}.{suffix}"
