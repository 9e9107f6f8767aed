"""`edgeagent run`: ask a model one question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgeagent.agent.memory.store import TraceStore
from edgeagent.agent.memory.trace import NotClean, distil
from edgeagent.agent.paradigms.remembering import SUFFIX
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.plain import one_line
from edgeagent.agent.workspace import catalog_of
from edgeagent.cli.options import (
    ENGINE_NAMES,
    budget,
    budget_options,
    engine_choice,
    engine_options,
    take,
)
from edgeagent.cli.package import get_package
from edgeagent.cli.progress import progress_display, quiet_option
from edgeagent.cli.turns import turn_lines
from edgeagent.cli.workspace_options import (
    WORKSPACE_NAMES,
    named_paradigms,
    workspace,
    workspace_options,
)
from edgeagent.errors import ConfigError, EngineError
from edgeagent.profiling.energy_limit import energy_reader
from edgeagent.profiling.workbench import Workbench, load_engine
from edgeagent.record.outcome import Outcome, Step, StepKind

_EXAMPLES = """\b
Examples:
  edgeagent run smollm2-135m-instruct "What is the capital of Japan?"
  edgeagent run smollm2-135m-instruct --paradigm single --trace "What is 17 * 23?"
  edgeagent run smollm2-135m-instruct --paradigm multi --documents notes "Who is the mayor?"
  edgeagent run qwen2.5-0.5b-instruct --tools tools.toml --paradigm team.toml "What did we sell?"
  edgeagent run smollm2-135m-instruct --memory notes.sqlite --remember "What is 17 * 23?"
"""


@click.command("run", epilog=_EXAMPLES)
@click.argument("model")
@click.argument("question")
@click.option(
    "--paradigm",
    default="single",
    show_default=True,
    help="base, single, multi, vote, plan, escalate, one of a plugin, or a team's TOML file.",
)
@click.option(
    "--documents",
    type=click.Path(path_type=Path),
    help="Folder of documents that agents may search: text, Markdown, HTML, PDF, Word.",
)
@workspace_options
@click.option(
    "--memory",
    type=click.Path(path_type=Path),
    help="SQLite file of solved questions; similar ones are shown to agents as examples.",
)
@click.option(
    "--remember",
    is_flag=True,
    help="Say that this answer is right, and keep it in --memory. Nothing is kept without.",
)
@click.option("--trace", is_flag=True, help="Show every step on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome and its spans as JSON.")
@engine_options
@budget_options
@quiet_option
def command(
    *,
    model: str,
    question: str,
    paradigm: str,
    documents: Path | None,
    memory: Path | None,
    remember: bool,
    trace: bool,
    as_json: bool,
    quiet: bool,
    tool_call_format: str | None,
    **options: Any,
) -> None:
    """Ask MODEL one QUESTION; nothing leaves this machine unless a team's file names a server.

    MODEL is a recipe's id, a GGUF file or a package folder; it is exported first if it has to be.
    The answer is streamed to stdout.
    """
    if not question.strip():
        raise ConfigError("The question is empty; write it as the last argument.")
    if documents is not None and not documents.is_dir():
        raise ConfigError(f"{documents} is not a folder of documents.")
    if remember and memory is None:
        raise ConfigError("--remember needs a file to keep the answer in; add --memory FILE.")
    (name,), teams = named_paradigms([paradigm or "single"])
    agents = workspace(
        **take(options, WORKSPACE_NAMES), teams=teams, documents=documents, memory=memory
    )
    catalog_of(agents).check(name)
    if memory is not None and not (remember and not memory.exists()):
        name += SUFFIX
    limits = budget(**{key: options[key] for key in options if key not in ENGINE_NAMES})
    energy = energy_reader(limits)
    with progress_display(quiet=quiet) as display:
        package = get_package(model, display)
        choice = engine_choice(package, **take(options, ENGINE_NAMES))
        if choice.note:
            display.note(choice.note)
    bench = Workbench(
        load_engine(package.folder, choice.config),
        workspace=agents,
        budget=limits.for_model(package.manifest.parameters),
        tool_call_format=tool_call_format or package.manifest.tool_call_format,
        energy=energy,
        on_note=lambda note: click.echo(note, err=True),
    )
    try:
        listener = _Screen(stream=not as_json, trace=trace)
        outcome, task = bench.run(name, question, listener)
        listener.finish()
        if remember and memory is not None:
            tools = tuple(bench.runtime.tools)
            click.echo(
                _remember(memory, question, outcome, tools, package.manifest.model_id), err=True
            )
    finally:
        bench.close()
    if trace:
        for line in turn_lines(task.recorder.trace()):
            click.echo(line, err=True)
    if as_json:
        click.echo(json.dumps(_as_json(outcome, task), indent=2))
    else:
        _say_more(outcome)
    if not outcome.completed:
        raise EngineError(f"There is no answer: {outcome.error or 'the model said nothing'}.")


def _remember(
    file: Path, question: str, outcome: Outcome, tools: tuple[str, ...], model_id: str
) -> str:
    """Keep what the user says is right, if it is clean; return a line about it."""
    trace = distil(question, outcome, tools=tools, model_id=model_id, accepted_by="user")
    if isinstance(trace, NotClean):
        return f"(not remembered: {trace.reason})"
    with TraceStore(file) as store:
        return f"(remembered as {store.add(trace)} in {file})"


def _say_more(outcome: Outcome) -> None:
    """Say where an answer comes from: its documents, and whether the paradigm gave it itself."""
    if outcome.completed and outcome.sources:
        click.echo(f"Sources: {'; '.join(map(one_line, outcome.sources))}")
    for host in outcome.sent_to:
        click.echo(
            f"(this question was sent to {one_line(host)}, as the team's file says)", err=True
        )
    if outcome.fell_back:
        click.echo(f"(the agent was stuck, this is what it had: {outcome.error})", err=True)


class _Screen:
    """Streams the answer to stdout and, on request, the steps to stderr."""

    def __init__(self, *, stream: bool, trace: bool) -> None:
        self._stream = stream
        self._trace = trace
        self._streamed = False

    def on_text(self, agent: str, text: str) -> None:
        """Ignore raw text: it holds thoughts and calls as well."""

    def on_answer(self, text: str) -> None:
        """Write a piece of the final answer."""
        if self._stream:
            click.echo(text, nl=False)
            self._streamed = True

    def on_step(self, step: Step) -> None:
        """Write a step, each on a line of its own."""
        if not self._trace:
            return
        if self._streamed:
            self.finish()
        click.echo(_step_line(step), err=True)

    def finish(self) -> None:
        """End the line of the answer."""
        if self._streamed:
            click.echo()
            self._streamed = False


def _step_line(step: Step) -> str:
    if step.kind in {StepKind.CALL, StepKind.ROUTE}:
        arguments = ", ".join(f"{key}={value!r}" for key, value in step.arguments.items())
        text = f"{step.tool}({arguments})"
    elif step.kind is StepKind.SENT:
        text = f"to {step.tool}: {step.text}"
    else:
        text = step.text
    return f"[{step.agent}] {step.kind.value}: {text}"


def _as_json(outcome: Outcome, task: TaskRun) -> dict[str, object]:
    return {
        "outcome": outcome.model_dump(mode="json"),
        "spans": [span.model_dump(mode="json") for span in task.recorder.trace()],
    }
