"""`edgeagent memory`: look into a memory of solved traces, and forget."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgeagent.agent.memory.store import StoredTrace, TraceStore
from edgeagent.agent.tools.plain import one_line
from edgeagent.errors import ConfigError

_EXAMPLES = """\b
Examples:
  edgeagent memory notes.sqlite
  edgeagent memory notes.sqlite --forget 12
  edgeagent memory notes.sqlite --forget-text "Orla Fenn"
  edgeagent memory notes.sqlite --clear
"""


@click.command("memory", epilog=_EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--forget", "numbers", type=int, multiple=True, help="Forget this trace. Repeatable.")
@click.option("--forget-text", help="Forget every trace in which this text occurs.")
@click.option("--clear", is_flag=True, help="Forget everything; the file stays, empty.")
@click.option("--json", "as_json", is_flag=True, help="Print the traces as JSON.")
def command(
    *, file: Path, numbers: tuple[int, ...], forget_text: str | None, clear: bool, as_json: bool
) -> None:
    """List what FILE remembers, or forget some of it; what is forgotten is overwritten."""
    if forget_text is not None and not forget_text.strip():
        raise ConfigError("The text to forget is empty; use --clear to forget everything.")
    with TraceStore(file, create=False) as store:
        if clear:
            click.echo(f"forgot {store.clear()} traces", err=True)
        if forget_text is not None:
            click.echo(f"forgot {store.forget_text(forget_text)} traces", err=True)
        for number in numbers:
            if not store.forget(number):
                raise ConfigError(f"{file} has no trace {number}; list them without options.")
            click.echo(f"forgot trace {number}", err=True)
        traces = store.traces()
    if as_json:
        found = [{"id": one.id, **one.trace.model_dump(mode="json")} for one in traces]
        click.echo(json.dumps(found, indent=2))
    elif not (clear or numbers or forget_text is not None):
        for one in traces:
            click.echo(_line(one))
        click.echo(f"{len(traces)} traces in {file}", err=True)


def _line(stored: StoredTrace) -> str:
    trace = stored.trace
    calls = " > ".join(one_line(call.tool) for call in trace.calls) or "no tool"
    return (
        f"{stored.id}  {one_line(trace.question)}  [{calls}]  {one_line(trace.answer, 80)}  "
        f"({one_line(trace.accepted_by)}, {one_line(trace.model_id)}, {one_line(trace.solved_utc)})"
    )
