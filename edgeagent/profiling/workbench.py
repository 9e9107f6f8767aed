"""A loaded model with tools and paradigms, ready to answer: what profiling and the API share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeagent.agent.paradigms import make_paradigm
from edgeagent.agent.paradigms.protocol import Paradigm
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import Limits
from edgeagent.agent.task import Listener, TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import Tool
from edgeagent.agent.tools.search import DocumentIndex, DocumentSearch
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.engine.protocol import Engine
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


class Workbench:
    """One engine, the tools that its documents allow, and paradigms that are made when needed."""

    def __init__(
        self,
        engine: Engine,
        *,
        documents: Path | None = None,
        budget: Budget | None = None,
        tool_call_format: str = "compact",
        extra_tools: Sequence[Tool] = (),
    ) -> None:
        """Prepare; no cache is allocated yet.

        Args:
            engine: A loaded model; closed together with the workbench.
            documents: Folder that the search tool searches, `None` for no search tool.
            budget: Limits of one task.
            tool_call_format: Name of the format, as in the package's manifest.
            extra_tools: Further tools.

        Raises:
            ConfigError: The documents cannot be read.
            EngineError: The package's chat template is not valid.
        """
        self.engine = engine
        self.budget = budget or Budget()
        self._index = DocumentIndex(documents) if documents else None
        tools: list[Tool] = [Calculator()]
        if self._index is not None:
            tools.append(DocumentSearch(self._index))
        self.runtime = Runtime(engine, [*tools, *extra_tools], self.budget, tool_call_format)
        self._paradigms: dict[str, Paradigm] = {}

    def paradigm(self, name: str) -> Paradigm:
        """Return a paradigm by name.

        Raises:
            ConfigError: There is none of that name.
        """
        if name not in self._paradigms:
            self._paradigms[name] = make_paradigm(name, self.runtime)
        return self._paradigms[name]

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
            limits=Limits.of(self.budget),
            functions=functions,
        )
        return self.paradigm(paradigm).run(question, task), task

    def close(self) -> None:
        """Free caches, index and model."""
        self.runtime.close()
        if self._index is not None:
            self._index.close()
        self.engine.close()
