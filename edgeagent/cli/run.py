"""`edgeagent run`: ask a model one question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgeagent.agent.paradigms import PARADIGM_NAMES
from edgeagent.agent.task import TaskRun
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
from edgeagent.errors import ConfigError, EngineError
from edgeagent.profiling.workbench import Workbench, load_engine
from edgeagent.record.outcome import Outcome, Step, StepKind

_EXAMPLES = """\b
Examples:
  edgeagent run smollm2-135m-instruct "What is the capital of Japan?"
  edgeagent run smollm2-135m-instruct --paradigm single --trace "What is 17 * 23?"
  edgeagent run smollm2-135m-instruct --paradigm multi --documents notes "Who is the mayor?"
"""


@click.command("run", epilog=_EXAMPLES)
@click.argument("model")
@click.argument("question")
@click.option(
    "--paradigm",
    type=click.Choice(PARADIGM_NAMES),
    default="single",
    show_default=True,
    help="Base model, one agent with tools, or a supervisor with specialists.",
)
@click.option(
    "--documents",
    type=click.Path(path_type=Path),
    help="Folder of .md and .txt files that agents may search.",
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
    trace: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Ask MODEL one QUESTION; nothing leaves this machine.

    MODEL is a recipe's id, a GGUF file or a package folder; it is exported first if it has to be.
    The answer is streamed to stdout.
    """
    if not question.strip():
        raise ConfigError("The question is empty; write it as the last argument.")
    if documents is not None and not documents.is_dir():
        raise ConfigError(f"{documents} is not a folder of documents.")
    with progress_display(quiet=quiet) as display:
        package = get_package(model, display)
        choice = engine_choice(package, **take(options, ENGINE_NAMES))
        if choice.note:
            display.note(choice.note)
    bench = Workbench(
        load_engine(package.folder, choice.config),
        documents=documents,
        budget=budget(**options).for_model(package.manifest.parameters),
        tool_call_format=package.manifest.tool_call_format,
    )
    try:
        listener = _Screen(stream=not as_json, trace=trace)
        outcome, task = bench.run(paradigm, question, listener)
        listener.finish()
    finally:
        bench.close()
    if as_json:
        click.echo(json.dumps(_as_json(outcome, task), indent=2))
    elif outcome.fell_back:
        click.echo(f"(answer of the base model; the agent was stuck: {outcome.error})", err=True)
    if not outcome.completed:
        raise EngineError(f"There is no answer: {outcome.error or 'the model said nothing'}.")


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
    else:
        text = step.text
    return f"[{step.agent}] {step.kind.value}: {text}"


def _as_json(outcome: Outcome, task: TaskRun) -> dict[str, object]:
    return {
        "outcome": outcome.model_dump(mode="json"),
        "spans": [span.model_dump(mode="json") for span in task.recorder.trace()],
    }
