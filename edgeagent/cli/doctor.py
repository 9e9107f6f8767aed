"""`edgeagent doctor`: what works on this machine, and what each missing thing needs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from edgeagent.cli.text import human_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from edgeagent.agent.tools.python.support import Support
    from edgeagent.cli.diagnosis import Diagnosis, Library
    from edgeagent.cli.sensors import SourceReading
    from edgeagent.record.conditions import HostWarning
    from edgeagent.record.samples import SourceInfo

_FILE = click.Path(dir_okay=False, path_type=Path)


_EXAMPLES = """\b
Examples:
  edgeagent doctor
  edgeagent doctor --json > doctor.json
  edgeagent doctor --capture my-board.json.gz
  edgeagent doctor --replay my-board.json.gz
"""


@click.command("doctor", epilog=_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option(
    "--capture", type=_FILE, metavar="FILE", help="Copy the sensor tree to FILE (.json, .json.gz)."
)
@click.option(
    "--capture-seconds",
    type=click.FloatRange(0, 300),
    default=5.0,
    show_default=True,
    help="How long the capture follows values that move.",
)
@click.option("--replay", type=_FILE, metavar="FILE", help="Look at the machine of a capture.")
@click.pass_context
def command(
    context: click.Context,
    as_json: bool,
    capture: Path | None,
    capture_seconds: float,
    replay: Path | None,
) -> None:
    """Show what works on this machine and what each missing thing needs.

    Looks at the runtime and its execution providers, cores, memory, disk, sensors, optional
    libraries and the cache. Nothing is downloaded or changed. The exit status is 6 if the runtime
    does not load, so that no model can run.

    With --capture it copies the files that sensors are read from (Linux) into one file that shows
    others a machine they do not have: listed files only, without serial numbers, addresses, host
    and user names. It needs no privileges and sends nothing. --replay shows such a machine.
    """
    from edgeagent.errors import EngineError

    if capture is not None and replay is not None:
        raise click.UsageError("--capture and --replay exclude each other")
    if capture is not None or replay is not None:
        from edgeagent.cli import doctor_capture

        if capture is not None:
            doctor_capture.take(capture, capture_seconds, as_json=as_json)
        elif replay is not None:
            doctor_capture.show(replay, as_json=as_json)
        return
    from edgeagent.cli.diagnosis import diagnose

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
    for name in ("libraries", "host", "cached", "readings"):
        data[name] = [dataclasses.asdict(item) for item in data[name]]
    for name in ("sources", "warnings"):
        data[name] = [item.model_dump(mode="json") for item in data[name]]
    sandbox = diagnosis.sandbox
    data["sandbox"] = None if sandbox is None else sandbox.as_plain_data()
    data["state"] = None if diagnosis.state is None else diagnosis.state.model_dump(mode="json")
    return data


def print_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print tables on a terminal, and aligned lines without markup or wrapping elsewhere."""
    print_sections(_sections(diagnosis), console)


def print_sections(sections: Iterable[Section], console: Console) -> None:
    """Print titles with rows of name, value and note."""
    show = _print_table if console.is_terminal else _print_lines
    for title, rows in sections:
        show(console, title, rows)


_Rows: TypeAlias = Sequence[tuple[str, str, str]]
Section: TypeAlias = tuple[str, _Rows]


def _sections(diagnosis: Diagnosis) -> Iterable[Section]:
    """Yield title and rows of name, value and note."""
    yield "Runtime", _runtime_rows(diagnosis)
    free = diagnosis.disk_free_bytes
    disk = ("disk free", "unknown" if free is None else human_bytes(free), diagnosis.home)
    facts = [(fact.name, fact.value or "unknown", fact.note) for fact in diagnosis.host]
    profile = ("device profile", diagnosis.device or "none", "see `edgeagent devices`")
    yield "Machine", [("system", diagnosis.system, ""), profile, *facts, disk]
    yield from warning_section(diagnosis.warnings)
    yield from source_sections(diagnosis.sources, diagnosis.readings)
    if diagnosis.sandbox is not None:
        yield "Tools", [_sandbox_row(diagnosis.sandbox)]
    if extras := _extra_rows(diagnosis):
        yield "Optional libraries", extras
    cached = [
        (item.name, item.kind, ", ".join(filter(None, (human_bytes(item.size_bytes), item.note))))
        for item in diagnosis.cached
    ]
    nothing = ("none", "", "`edgeagent profile` or `edgeagent export` puts the first model here")
    yield f"Cache: {diagnosis.home}", cached or [nothing]


def _sandbox_row(sandbox: Support) -> tuple[str, str, str]:
    if not sandbox.offered:
        return "python", "not offered", sandbox.reason
    return "python", "offered", f"code of models is confined by {', '.join(sandbox.layers)}"


def warning_section(warnings: Iterable[HostWarning]) -> Iterable[Section]:
    """Yield what would make figures worse now, nothing if there is nothing."""
    rows = [(item.id, "warning", f"{item.sentence} {item.remedy}".strip()) for item in warnings]
    if rows:
        yield "Before measuring", rows


def source_sections(
    sources: Iterable[SourceInfo], readings: Iterable[SourceReading]
) -> Iterable[Section]:
    """Yield the sources in groups."""
    from edgeagent.cli.sensors import in_groups, source_row

    shown = {reading.source: reading for reading in readings}
    for title, group in in_groups(sources).items():
        yield f"Sensors: {title.lower()}", [source_row(info, shown) for info in group]


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
        style = {"ok": "green", "missing": "red", "permission": "yellow", "warning": "yellow"}.get(
            value, ""
        )
        table.add_row(Text(name, "bold"), Text(value, style), Text(note, "dim"))
    console.print(table)


def _print_lines(console: Console, title: str, rows: _Rows) -> None:
    width = max(len(name) for name, _, _ in rows)
    lines = [title]
    for name, value, note in rows:
        lines.append(f"  {name:<{width}}  {value}" + (f"  ({note})" if note else ""))
    console.print("\n".join(lines), markup=False, soft_wrap=True)
