"""The trade-off table on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeagent.report import format as fmt
from edgeagent.report.energy.rows import (
    energy_rows,
    headline_sentence,
    hole_sentences,
    sum_sentence,
)
from edgeagent.report.learning import learning_rows, learning_sentences
from edgeagent.report.model import Summary
from edgeagent.report.quality.rows import category_rows, study_notes
from edgeagent.report.row import Row
from edgeagent.report.table import tradeoff_rows

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
"""Most columns that a table takes; wider terminals stay readable."""


def print_summary(summary: Summary, console: Console) -> None:
    """Print the verdict, the trade-off table, solved tasks by category and what to know."""
    from rich.table import Table
    from rich.text import Text

    width = min(WIDTH, console.width)
    tradeoff = tradeoff_rows(summary)
    label_width = max(len(row.label) for row in tradeoff)

    def table(rows: tuple[Row, ...], corner: str) -> Table:
        found = Table(width=width, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        found.add_column(Text(corner), no_wrap=True, min_width=label_width)
        for paradigm in summary.paradigms:
            found.add_column(Text(fmt.plain(paradigm.paradigm)), ratio=1, overflow="fold")
        for row in rows:
            if row.starts_section:
                found.add_row()
            found.add_row(Text(row.label), *(Text(cell) for cell in row.cells))
        return found

    def say(text: str, style: str = "") -> None:
        console.print(Text(fmt.plain(text), style=style), width=width)

    config = summary.config
    say(
        f"{config.model_id} ({config.precision}) on {config.host.cpu}, {config.ep}, "
        f"suite {config.suite}"
    )
    console.print()
    console.print(table(tradeoff, "Per paradigm"))
    console.print()
    console.print(table(category_rows(summary), "Solved by category"))
    console.print()
    if summary.learning is not None:
        for sentence in learning_sentences(summary.learning):
            say(sentence)
        for paradigm, figure, text in learning_rows(summary.learning):
            say(f"  {paradigm}, {figure}: {text}")
        console.print()
    energy = energy_rows(summary)
    if energy:
        console.print(table(energy, "Energy"))
        console.print()
    if summary.energy_totals:
        say(f"{headline_sentence(summary)} {sum_sentence(summary)}".strip(), "dim")
    for note in (
        summary.energy_note,
        *hole_sentences(summary.energy_totals),
        *(mark.sentence for mark in (summary.conditions.marks if summary.conditions else ())),
        *study_notes(summary),
        *summary.notes,
    ):
        if note:
            say(f"Note: {note}", "dim")
    say(summary.recommendation.reason, "bold")
