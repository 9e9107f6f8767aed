"""The Python API: open a model as an assistant, or profile it.

::

    import edgeagent

    with edgeagent.load("smollm2-135m-instruct", documents="notes/") as assistant:
        outcome = assistant.ask("Who founded the sailing school?", paradigm="single")
        print(outcome.answer)

    summary = edgeagent.profile("smollm2-135m-instruct", paradigms=("base", "single"))
    print(summary.recommendation.reason)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from edgeagent.agent.paradigms import DEFAULT_PARADIGMS
from edgeagent.agent.task import Silent
from edgeagent.agent.tools.protocol import Tool
from edgeagent.config.engine_choice import EngineChoice, given_engine
from edgeagent.config.model import DEFAULT_MODEL
from edgeagent.config.power import PowerRequest
from edgeagent.config.protocol import Protocol
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.config.workspace import Workspace
from edgeagent.engine.protocol import EngineInfo
from edgeagent.export.resolve import ensure_package
from edgeagent.profiling.energy_limit import energy_reader
from edgeagent.profiling.engine_for import engine_config_for
from edgeagent.profiling.progress import OnProfileProgress
from edgeagent.profiling.runner import run_profile
from edgeagent.profiling.settings import DEFAULT_SEED, ProfileSettings
from edgeagent.profiling.suites import open_suite
from edgeagent.profiling.workbench import Workbench, load_engine
from edgeagent.record.manifest import Manifest
from edgeagent.record.outcome import Outcome, Step
from edgeagent.record.spans import Trace
from edgeagent.report.model import Summary
from edgeagent.report.write import write_report

OnAnswer = Callable[[str], None]
"""Told each piece of the answer, for streaming to a user."""

OnText = Callable[[str, str], None]
"""Told the role and each piece of text that it generates, thoughts and calls included."""

OnStep = Callable[[Step], None]
"""Told each finished step."""


def load(
    model: str = DEFAULT_MODEL,
    *,
    documents: str | Path | None = None,
    engine: EngineConfig | None = None,
    budget: Budget | None = None,
    tools: Sequence[Tool] = (),
    workspace: Workspace | None = None,
) -> Assistant:
    """Open a model as an assistant; it is downloaded and exported first if it has to be.

    Args:
        model: A recipe's id, the path of a GGUF file, or a package folder.
        documents: Folder that agents may search: text, Markdown, HTML, PDF, Word.
        engine: Threads, spinning, execution provider and so on; `None` takes what `edgeagent tune`
            found for this package on this device, else the defaults.
        budget: Limits of one question.
        tools: Further tools, objects of the `Tool` protocol.
        workspace: A tools file, plugins, teams; `documents` wins over its own.

    Raises:
        EdgeAgentError: A subclass says what is wrong and what to do.
    """
    package = ensure_package(model)
    choice = engine_config_for(package) if engine is None else given_engine(engine)
    workspace = workspace or Workspace()
    if documents is not None:
        workspace = workspace.model_copy(update={"documents": Path(documents)})
    limits = (budget or Budget()).for_model(package.manifest.parameters)
    energy = energy_reader(limits)
    native = load_engine(package.folder, choice.config)
    try:
        bench = Workbench(
            native,
            workspace=workspace,
            budget=limits,
            tool_call_format=package.manifest.tool_call_format,
            extra_tools=tools,
            energy=energy,
        )
    except BaseException:
        native.close()
        raise
    return Assistant(bench, package.manifest, choice)


class Assistant:
    """A loaded model that answers questions; prefixes stay cached between questions.

    Attributes:
        manifest: Where the model comes from and how faithful its package is.
        engine: The settings of the runtime, where they come from, and a note about it.
        last_trace: The spans of the last question, for measuring.
    """

    def __init__(self, bench: Workbench, manifest: Manifest, engine: EngineChoice) -> None:
        """Use `edgeagent.load` instead."""
        self._bench = bench
        self.manifest = manifest
        self.engine = engine
        self.last_trace: Trace = ()

    @property
    def engine_info(self) -> EngineInfo:
        """Runtime, execution provider, context length and load time."""
        return self._bench.engine.info

    def ask(
        self,
        question: str,
        paradigm: str = "single",
        *,
        on_answer: OnAnswer | None = None,
        on_text: OnText | None = None,
        on_step: OnStep | None = None,
    ) -> Outcome:
        """Answer a question.

        Args:
            question: What the user asks.
            paradigm: `base`, `single`, `multi`, `vote`, `plan`, `escalate`, or one of the
                workspace's plugins and teams.
            on_answer: Called with each piece of the answer, for streaming.
            on_text: Called with the role and each piece of generated text.
            on_step: Called with each thought, call, observation and answer.

        Returns:
            The answer with its steps, and why it fell back to the base model if it did.

        Raises:
            ConfigError: There is no such paradigm.
        """
        outcome, task = self._bench.run(paradigm, question, _Callbacks(on_answer, on_text, on_step))
        self.last_trace = task.recorder.trace()
        return outcome

    def close(self) -> None:
        """Unload the model."""
        self._bench.close()

    def __enter__(self) -> Assistant:
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Unload the model."""
        self.close()


def profile(
    model: str = DEFAULT_MODEL,
    *,
    paradigms: Sequence[str] = DEFAULT_PARADIGMS,
    suite: str | Path = "core",
    repeat: int = 1,
    protocol: Protocol | None = None,
    power: PowerRequest | None = None,
    seed: int = DEFAULT_SEED,
    out: str | Path | None = None,
    engine: EngineConfig | None = None,
    budget: Budget | None = None,
    workspace: Workspace | None = None,
    on_progress: OnProfileProgress | None = None,
) -> Summary:
    """Measure paradigms on a suite, write the report, and return its summary.

    An unfinished run of the same settings is resumed.

    Args:
        model: A recipe's id, the path of a GGUF file, or a package folder.
        paradigms: What to compare.
        suite: Name of a shipped suite, the path of one, or a benchmark such as
            `bfcl:simple_python`.
        repeat: Repetitions of every task with every paradigm; short for `Protocol(repeat=...)`.
        protocol: Repetitions, duration, warm-ups and rests; wins over `repeat`.
        power: Outside meters, load pulses and estimates; `None` asks for none of them.
        seed: Seed of the order.
        out: Run folder, `None` to choose one below `runs/`.
        engine: Settings of the runtime, `None` as in `load`.
        budget: Limits of one task.
        workspace: A tools file, plugins, teams.
        on_progress: Told how far it is.

    Raises:
        EdgeAgentError: A subclass says what is wrong and what to do.
    """
    package = ensure_package(model)
    choice = engine_config_for(package) if engine is None else given_engine(engine)
    settings = ProfileSettings(
        package=package,
        suite=open_suite(suite),
        paradigms=tuple(paradigms),
        protocol=protocol or Protocol(repeat=repeat),
        power=power or PowerRequest(),
        seed=seed,
        engine=choice.config,
        engine_origin=choice.origin,
        budget=budget or Budget(),
        workspace=workspace or Workspace(),
        out=Path(out) if out is not None else None,
    )
    result = run_profile(settings, on_progress or (lambda _progress: None))
    return write_report(result.folder)


class _Callbacks(Silent):
    """Optional functions as a listener."""

    def __init__(
        self, on_answer: OnAnswer | None, on_text: OnText | None, on_step: OnStep | None
    ) -> None:
        self._on_answer = on_answer
        self._on_text = on_text
        self._on_step = on_step

    def on_answer(self, text: str) -> None:
        if self._on_answer is not None:
            self._on_answer(text)

    def on_text(self, agent: str, text: str) -> None:
        if self._on_text is not None:
            self._on_text(agent, text)

    def on_step(self, step: Step) -> None:
        if self._on_step is not None:
            self._on_step(step)


__all__ = ["Assistant", "load", "profile"]
