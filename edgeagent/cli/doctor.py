"""`edgeagent doctor`: what works on this machine, and what each missing thing needs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from edgeagent.cli.text import human_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from edgeagent.cli.diagnosis import Diagnosis, Library


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    r"""Show what works on this machine and what each missing thing needs.

    Looks at the runtime and its execution providers, cores, memory, disk, sensors, optional
    libraries and the cache. Nothing is downloaded or changed. The exit status is 6 if the runtime
    does not load, so that no model can run.

    \b
    Examples:
      edgeagent doctor
      edgeagent doctor --json > doctor.json
    """
    from edgeagent.cli.diagnosis import diagnose
    from edgeagent.errors import EngineError

    diagnosis = diagnose()
    if as_json:
        click.echo(json.dumps(as_plain_data(diagnosis), indent=2))
    else:
        from rich.console import Console

        print_diagnosis(diagnosis, Console(highlight=False))
    if not diagnosis.can_run_models:
        context.exit(EngineError.exit_code)


def as_plain_data(diagnosis: Diagnosis) -> dict[str, object]:
    """Return the diagnosis as JSON data."""
    data = {field.name: getattr(diagnosis, field.name) for field in dataclasses.fields(diagnosis)}
    for name in ("libraries", "host", "cached"):
        data[name] = [dataclasses.asdict(item) for item in data[name]]
    data["sources"] = [source.model_dump(mode="json") for source in diagnosis.sources]
    return data


def print_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print tables on a terminal, and aligned lines without markup or wrapping elsewhere."""
    show = _print_table if console.is_terminal else _print_lines
    for title, rows in _sections(diagnosis):
        show(console, title, rows)


_Rows = Sequence[tuple[str, str, str]]


def _sections(diagnosis: Diagnosis) -> Iterable[tuple[str, _Rows]]:
    """Yield title and rows of name, value and note."""
    yield "Runtime", _runtime_rows(diagnosis)
    free = diagnosis.disk_free_bytes
    disk = ("disk free", "unknown" if free is None else human_bytes(free), diagnosis.home)
    facts = [(fact.name, fact.value or "unknown", fact.note) for fact in diagnosis.host]
    yield "Machine", [("system", diagnosis.system, ""), *facts, disk]
    yield (
        "Sensors",
        [
            (source.source, source.state.value, " ".join((source.reason, source.remedy)).strip())
            for source in diagnosis.sources
        ],
    )
    if extras := _extra_rows(diagnosis):
        yield "Optional libraries", extras
    cached = [
        (item.name, item.kind, ", ".join(filter(None, (human_bytes(item.size_bytes), item.note))))
        for item in diagnosis.cached
    ]
    nothing = ("none", "", "`edgeagent profile` or `edgeagent export` puts the first model here")
    yield f"Cache: {diagnosis.home}", cached or [nothing]


def _runtime_rows(diagnosis: Diagnosis) -> _Rows:
    rows = [("edgeagent", diagnosis.edgeagent, ""), ("python", diagnosis.python, "")]
    for library in diagnosis.libraries:
        if library.needed_for == "runtime":
            missing = f"install it: pip install {library.name}"
            rows.append((library.name, library.version or "missing", _unless(library, missing)))
    if diagnosis.providers is not None:
        rows.append(("execution providers", ", ".join(diagnosis.providers), ""))
    else:
        reason = f"{diagnosis.providers_reason}; install onnxruntime-genai for this Python again"
        rows.append(("execution providers", "none", reason))
    return rows


def _extra_rows(diagnosis: Diagnosis) -> _Rows:
    return [
        (
            library.name,
            library.version or "missing",
            f"for {library.needed_for}"
            + _unless(library, f'; install it: pip install "edgeagent[{library.needed_for}]"'),
        )
        for library in diagnosis.libraries
        if library.needed_for != "runtime"
    ]


def _unless(library: Library, text: str) -> str:
    """Return `text` for a library that is not installed."""
    return text if library.version is None else ""


def _print_table(console: Console, title: str, rows: _Rows) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_header=False, expand=False)
    for name, value, note in rows:
        style = {"ok": "green", "missing": "red", "permission": "yellow"}.get(value, "")
        table.add_row(Text(name, "bold"), Text(value, style), Text(note, "dim"))
    console.print(table)


def _print_lines(console: Console, title: str, rows: _Rows) -> None:
    width = max(len(name) for name, _, _ in rows)
    lines = [title]
    for name, value, note in rows:
        lines.append(f"  {name:<{width}}  {value}" + (f"  ({note})" if note else ""))
    console.print("\n".join(lines), markup=False, soft_wrap=True)
