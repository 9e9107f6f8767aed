"""The report of a run as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from edgeagent.record.samples import SourceState
from edgeagent.report import format as fmt
from edgeagent.report.energy.rows import (
    TOTAL_COLUMNS,
    energy_rows,
    headline_sentence,
    hole_sentences,
    total_rows,
)
from edgeagent.report.learning import learning_rows, learning_sentences
from edgeagent.report.model import Summary
from edgeagent.report.quality.rows import (
    category_detail_rows,
    failure_rows,
    study_notes,
    study_rows,
)
from edgeagent.report.row import Row
from edgeagent.report.table import memory_table, tradeoff_rows

PICTURE_NAME = "tradeoff.svg"

# No underscore: inside a word it is not markup, and names such as `turn_limit` stay readable.
_MARKUP = re.compile(r"([\\`*<>\[\]|#&~])")


def tradeoff_markdown(summary: Summary) -> str:
    """Return `report.md`: verdict, trade-off, categories, notes and where the figures are from."""
    config = summary.config
    paradigms = [paradigm.paradigm for paradigm in summary.paradigms]
    notes = [note for note in (summary.energy_note, *summary.notes) if note]
    parts = [
        f"# {_escape(config.model_id)} on {_escape(config.host.cpu)}",
        f"**{_escape(summary.recommendation.reason)}**",
        f"![Solved tasks against seconds per task]({PICTURE_NAME})",
        "## Trade-off",
        _rows("Per paradigm", paradigms, tradeoff_rows(summary)),
        "Differences are paired by task, with 95 % bootstrap intervals; *not distinguishable* "
        "means that the interval contains 0 or that too few tasks differ. Definitions: "
        "`docs/metrics.md` of edgeagent.",
        "## Solved by category",
        _rows("Category", paradigms, category_detail_rows(summary)),
        *_study(summary, paradigms),
        "## Completion and failures",
        _rows("Outcome", paradigms, failure_rows(summary)),
        *_learning(summary),
        *_energy(summary, paradigms),
        *_memory(summary, paradigms),
        *_conditions(summary),
        "## What to know",
        "\n".join(f"- {_escape(note)}" for note in notes) or "Everything was measured.",
        "## Provenance",
        _table(("What", "Value"), _provenance(summary)),
        "## Sensors",
        _table(("Source", "Quantity", "Scope", "State", "Reason and remedy"), _sensors(summary))
        if summary.sources
        else "None was recorded.",
    ]
    return "\n\n".join(parts) + "\n"


def _study(summary: Summary, paradigms: Sequence[str]) -> Iterable[str]:
    """Yield the study's measures; nothing for a single category or paradigm."""
    rows = study_rows(summary)
    if rows:
        yield "## Relative to the base model"
        yield _rows("Over categories", paradigms, rows)
        yield from map(_escape, study_notes(summary))


def _learning(summary: Summary) -> Iterable[str]:
    """Yield what a memory brought; nothing for runs without one."""
    if summary.learning is not None:
        yield "## Memory of solved tasks"
        yield _escape(" ".join(learning_sentences(summary.learning)))
        head = ("Paradigm", "Figure", "Difference to the same without memory")
        yield _table(head, learning_rows(summary.learning))


def _energy(summary: Summary, paradigms: Sequence[str]) -> Iterable[str]:
    """Yield the energy section; nothing where there is neither a figure nor an estimate."""
    rows = energy_rows(summary)
    if not rows:
        return
    yield "## Energy"
    if summary.energy_totals:
        yield _escape(headline_sentence(summary))
    yield _rows("Per paradigm", paradigms, rows)
    if summary.energy_totals:
        yield _table(TOTAL_COLUMNS, total_rows(summary.energy_totals))
        sentences = list(hole_sentences(summary.energy_totals))
        if sentences:
            yield "\n".join(f"- {_escape(sentence)}" for sentence in sentences)


def _memory(summary: Summary, paradigms: Sequence[str]) -> Iterable[str]:
    """Yield memory by phase; nothing where no paradigm was measured alone."""
    rows = memory_table(summary)
    if rows:
        yield "## Memory"
        yield _rows("Alone in a process", paradigms, rows)


def _conditions(summary: Summary) -> Iterable[str]:
    """Yield what the machine went through, and what no source could tell."""
    conditions = summary.conditions
    if conditions is None:
        return
    yield "## Conditions"
    sentences = [*(mark.sentence for mark in conditions.marks), *conditions.not_judged]
    sentences += [f"Before: {warning.sentence}" for warning in conditions.warnings]
    yield "\n".join(f"- {_escape(sentence)}" for sentence in sentences) or "Nothing to report."


def _provenance(summary: Summary) -> Iterable[tuple[str, ...]]:
    config, host = summary.config, summary.config.host
    yield "Model", f"{config.model_id}, {config.precision}, {fmt.megabytes(config.package_bytes)}"
    yield "Package", f"manifest SHA-256 {config.package_sha256}"
    yield "Engine", f"{config.engine} {config.engine_version}, {config.ep}"
    yield "Engine settings", _settings(config.engine_settings)
    yield "Tool calls", config.tool_call_format
    yield "Suite", f"{config.suite}, SHA-256 {config.suite_sha256}"
    yield "Runs", f"repeat {config.repeat}, seed {config.seed}, {_settings(config.budget)}"
    if config.protocol:
        yield "Protocol", _settings(config.protocol)
    yield "Host", f"{host.cpu}, {_cores(summary)}, {fmt.megabytes(host.memory_bytes)}"
    yield "System", f"{host.os}, {host.machine}, Python {host.python}"
    high_water = summary.rss_high_water_bytes
    if high_water is not None:
        yield "Peak RSS of the whole run", f"{fmt.megabytes(high_water)}, loading included"
    for source, size_bytes in summary.gpu_memory_peak_bytes.items():
        yield f"Peak of {source}", f"{fmt.megabytes(size_bytes)}, not part of the RSS"
    yield "Measured", f"{summary.started_utc} to {summary.last_started_utc}"
    yield "edgeagent", config.edgeagent_version


def _cores(summary: Summary) -> str:
    host = summary.config.host
    physical = "" if host.cores_physical is None else f" ({host.cores_physical} physical)"
    return f"{host.cores_usable} usable cores{physical}"


def _sensors(summary: Summary) -> Iterable[tuple[str, ...]]:
    for info in summary.sources:
        why = "" if info.state is SourceState.OK else f"{info.reason} {info.remedy}".strip()
        yield info.source, info.quantity, info.scope.value, info.state.value, why


def _settings(settings: Mapping[str, str | int | float | bool | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "none"


def _rows(corner: str, paradigms: Sequence[str], rows: Iterable[Row]) -> str:
    # Markdown drops leading blanks; an en space keeps a label below the figure it belongs to.
    cells = ((row.label.replace("  ", "\N{EN SPACE}", 1), *row.cells) for row in rows)
    return _table((corner, *paradigms), cells)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_line(map(_escape, head)), _line("---" for _ in head)]
    return "\n".join([*lines, *(_line(map(_escape, row)) for row in rows)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return _MARKUP.sub(r"\\\1", fmt.plain(text))
