"""A loaded model with tools and paradigms, ready to answer: what profiling and the API share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgeagent.agent.memory.recall import Memory
from edgeagent.agent.memory.store import TraceStore
from edgeagent.agent.models import OpenModel
from edgeagent.agent.paradigms.protocol import Paradigm
from edgeagent.agent.paradigms.remembering import Remembering, without_memory
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import EnergyReader, Limits
from edgeagent.agent.task import Listener, TaskRun
from edgeagent.agent.tools.protocol import Tool
from edgeagent.agent.tools.toolbox import open_toolbox
from edgeagent.agent.workspace import catalog_of
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.config.workspace import Workspace
from edgeagent.engine.protocol import Engine
from edgeagent.errors import ConfigError
from edgeagent.profiling.open_models import ModelOpener
from edgeagent.record.outcome import Outcome
from edgeagent.record.spans import EdgeListener


def load_engine(folder: Path, config: EngineConfig | None = None) -> Engine:
    """Load a package with the real engine.

    Raises:
        EngineError: The package or the runtime is not usable.
        ResourceError: Not enough memory.
    """
    from edgeagent.engine.genai import GenaiEngine

    return GenaiEngine(folder, config)


def _own(engine: Engine) -> dict[Path, Engine]:
    """Return the engine by its package's folder, if it has one: roles may name it again."""
    folder = getattr(engine, "folder", None)
    return {folder: engine} if isinstance(folder, Path) else {}


def ignore_note(_note: str) -> None:
    """Do nothing with a note."""


class Workbench:
    """One engine, the tools of a workspace, and paradigms that are made when needed."""

    def __init__(
        self,
        engine: Engine,
        *,
        workspace: Workspace | None = None,
        budget: Budget | None = None,
        tool_call_format: str = "compact",
        extra_tools: Sequence[Tool] = (),
        energy: EnergyReader | None = None,
        open_model: OpenModel | None = None,
        on_note: Callable[[str], None] = ignore_note,
    ) -> None:
        """Open the tools; no cache is allocated yet.

        Args:
            engine: A loaded model; closed together with the workbench.
            workspace: What agents may work with.
            budget: Limits of one task.
            tool_call_format: Name of the format, as in the package's manifest.
            extra_tools: Further tools.
            energy: Reads the energy that the device used, for a budget in joules.
            open_model: Loads the models that roles name; `None` exports and loads real ones.
            on_note: Told what was left out and why, such as a document that cannot be read.

        Raises:
            ConfigError: Something of the workspace cannot be used.
            EngineError: The package's chat template is not valid.
        """
        workspace = workspace or Workspace()
        self.engine = engine
        self.budget = budget or Budget()
        self._energy = energy
        self._toolbox = open_toolbox(
            workspace, count_tokens=lambda text: len(engine.encode(text)), on_note=on_note
        )
        try:
            self.catalog = catalog_of(workspace)
            self.runtime = Runtime(
                engine,
                [*self._toolbox.tools, *extra_tools],
                self.budget,
                tool_call_format,
                open_model=open_model or ModelOpener(self.budget, loaded=_own(engine)),
            )
        except BaseException:
            self._toolbox.close()
            raise
        self._paradigms: dict[str, Paradigm] = {}
        self._memory_file = workspace.memory
        self._memory: Memory | None = None

    def paradigm(self, name: str) -> Paradigm:
        """Return a paradigm by name; one that ends in `+memory` learns from the workspace's.

        Raises:
            ConfigError: There is none of that name, or no memory.
            ResourceError: The memory cannot be read.
        """
        if name not in self._paradigms:
            plain = without_memory(name)
            made = self._paradigms.get(plain) or self.catalog.make(plain, self.runtime)
            self._paradigms[plain] = made
            if name != plain:
                self._paradigms[name] = Remembering(made, self.runtime, self._open_memory(name))
        return self._paradigms[name]

    def _open_memory(self, name: str) -> Memory:
        if self._memory is None:
            if self._memory_file is None:
                raise ConfigError(f"{name} needs a memory; name its file with --memory.")
            self._memory = Memory(TraceStore(self._memory_file, create=False))
        return self._memory

    def run(
        self,
        paradigm: str,
        question: str,
        listener: Listener | None = None,
        edges: EdgeListener | None = None,
        functions: Sequence[Mapping[str, object]] = (),
    ) -> tuple[Outcome, TaskRun]:
        """Answer a question, or call the functions that came with it; the task holds the spans."""
        task = TaskRun(
            listener=listener,
            edges=edges,
            limits=Limits.of(self.budget, self._energy),
            functions=functions,
        )
        outcome = self.paradigm(paradigm).run(question, task)
        task.finish(outcome.answer)
        return outcome, task

    def close(self) -> None:
        """Free caches, memory, tools and model."""
        if self._memory is not None:
            self._memory.close()
        self.runtime.close()
        self._toolbox.close()
        self.engine.close()
