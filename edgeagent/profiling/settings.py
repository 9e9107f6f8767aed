"""What a person asks a profile for, and the configuration that records repeat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from edgeagent import __version__
from edgeagent.agent.formats import tool_format
from edgeagent.agent.paradigms import DEFAULT_PARADIGMS
from edgeagent.agent.paradigms.catalog import Catalog
from edgeagent.agent.paradigms.remembering import SUFFIX, without_memory
from edgeagent.agent.workspace import catalog_of
from edgeagent.config.cores import usable_physical_cores
from edgeagent.config.engine_choice import given_engine
from edgeagent.config.package import Package
from edgeagent.config.power import PowerRequest
from edgeagent.config.protocol import Protocol
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.config.suite import TaskSpec
from edgeagent.config.suites import Suite
from edgeagent.config.workspace import Workspace
from edgeagent.errors import ConfigError
from edgeagent.meter.host.facts import host_record
from edgeagent.profiling.held_out import memory_protocol, split_tasks
from edgeagent.record.run import RunConfig

DEFAULT_SEED = 20260419


def check_paradigms(names: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
    """Return the names if each is a paradigm of the catalog and none is there twice.

    A name may end in `+memory`.

    Raises:
        ConfigError: One is unknown or named twice, or there is none.
    """
    found = tuple(names)
    unknown = [name for name in found if without_memory(name) not in catalog.names]
    if unknown or not found:
        raise ConfigError(
            f"There is no paradigm {', '.join(unknown) or 'named'}; choose from "
            f"{', '.join(catalog.names)}."
        )
    if len(set(found)) < len(found):
        raise ConfigError("A paradigm is named twice; name each one once.")
    return found


@dataclass(frozen=True)
class ProfileSettings:
    """One profile.

    Attributes:
        package: The exported model.
        suite: The tasks.
        paradigms: What to compare, `base` first if it is among them.
        protocol: How often and how long is measured.
        power: Outside meters, load pulses and estimates, all off unless asked for.
        seed: Seed of the order.
        engine: Settings of the runtime.
        engine_origin: Where these settings come from, see `EngineChoice.origin`; `None` if all
            that is not default was given.
        budget: Limits of one task.
        workspace: What agents may work with beside the documents of the suite.
        tool_call_format: How tools are called, `None`: as the package says.
        learning: Whether to learn from one half of the tasks and measure the other, with a memory
            of the run's own for the paradigms that have one.
        out: Run folder, `None` to choose one below `runs/`.
    """

    package: Package
    suite: Suite
    paradigms: tuple[str, ...] = DEFAULT_PARADIGMS
    protocol: Protocol = field(default_factory=Protocol)
    power: PowerRequest = field(default_factory=PowerRequest)
    seed: int = DEFAULT_SEED
    engine: EngineConfig = field(default_factory=EngineConfig)
    engine_origin: str | None = None
    budget: Budget = field(default_factory=Budget)
    workspace: Workspace = field(default_factory=Workspace)
    tool_call_format: str | None = None
    learning: bool = False
    out: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            ConfigError: A paradigm is unknown or named twice, a file of the workspace is wrong, or
                a memory is asked for and there is none.
        """
        check_paradigms(self.paradigms, catalog_of(self.workspace))
        remembering = [name for name in self.paradigms if name.endswith(SUFFIX)]
        if remembering and not self.learning and self.workspace.memory is None:
            raise ConfigError(f"{remembering[0]} needs a memory; add --memory.")
        if self.learning and not remembering:
            raise ConfigError(f"No paradigm has a memory to learn with; name single{SUFFIX}.")

    def tasks(self) -> tuple[TaskSpec, ...]:
        """Return the tasks that are measured.

        Raises:
            ConfigError: The suite is too small to hold tasks out.
        """
        tasks = self.suite.spec.task
        return split_tasks(tasks, self.seed).held_out if self.learning else tasks

    def agent_workspace(self) -> Workspace:
        """Return the workspace with the documents of the suite, if it has any."""
        documents = self.suite.documents_dir
        if documents is None:
            return self.workspace
        return self.workspace.model_copy(
            update={"documents": documents, "documents_of_suite": True}
        )

    def agent_budget(self) -> Budget:
        """Return the budget as it applies to this model."""
        return self.budget.for_model(self.package.manifest.parameters)

    def run_config(self) -> RunConfig:
        """Return everything that a figure of this run depends on."""
        manifest = self.package.manifest
        engine_settings = self.engine.recorded() | {
            "intra_op_num_threads": self.engine.intra_op_num_threads or usable_physical_cores(),
            "origin": self.engine_origin or given_engine(self.engine).origin,
        }
        return RunConfig(
            model_id=manifest.model_id,
            package_sha256=self.package.sha256,
            precision=self.package.precision,
            package_bytes=manifest.package_bytes,
            engine="genai",
            engine_version=metadata.version("onnxruntime-genai"),
            ep=self.engine.ep,
            engine_settings=engine_settings,
            suite=f"{self.suite.spec.name}@{self.suite.spec.version}",
            suite_sha256=self.suite.sha256,
            paradigms=self.paradigms,
            repeat=self.protocol.repeat,
            protocol=self.protocol.model_dump(exclude={"repeat"})
            | (memory_protocol(self.suite.spec.task, self.seed) if self.learning else {}),
            seed=self.seed,
            budget=self.agent_budget().model_dump(),
            tool_call_format=tool_format(self.tool_call_format or manifest.tool_call_format).name,
            workspace=self.workspace.digests(),
            edgeagent_version=__version__,
            host=host_record(),
        )
