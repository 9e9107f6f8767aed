"""A benchmark on a terminal, as aligned lines, as Markdown, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgeagent.record.base import Record
from edgeagent.record.bench_run import BenchRecord
from edgeagent.report import format as fmt
from edgeagent.report.bench import tables as texts
from edgeagent.report.bench.model import BenchSummary, Figure
from edgeagent.report.bench.summary import summarize_bench
from edgeagent.report.bench.tables import TextTable

if TYPE_CHECKING:
    from rich.console import Console

CSV_HEAD = (
    "model", "package_sha256", "precision", "ep", "threads", "cpu", "started_utc", "test", "kind",
    "tokens", "depth", "metric", "unit", "n", "median", "mean", "ci95_low", "ci95_high",
)  # fmt: skip
"""One figure a line, the configuration repeated; units are SI base units."""

# No underscore: inside a word it is not markup.
_MARKUP = re.compile(r"([\\`*<>\[\]|#&~])")


class BenchReport(Record):
    """What the JSON form holds.

    Attributes:
        summary: Every derived figure.
        record: Everything that was read, raw nanoseconds included.
    """

    summary: BenchSummary
    record: BenchRecord


def bench_json(record: BenchRecord) -> str:
    """Return figures and raw readings; `load_bench` reads them again."""
    report = BenchReport(summary=summarize_bench(record), record=record)
    return report.model_dump_json(indent=2) + "\n"


def print_bench(summary: BenchSummary, console: Console) -> None:
    """Print on a terminal."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(texts.title(summary), style="bold"))
    for found in texts.tables(summary):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for index, name in enumerate(found.head):
            table.add_column(Text(name), justify="right" if index else "left", no_wrap=not index)
        for row in found.rows:
            table.add_row(*(Text(fmt.plain(cell)) for cell in row))
        console.print()
        console.print(table)
    console.print()
    for note in texts.notes(summary):
        console.print(Text(f"Note: {fmt.plain(note)}", style="dim"))
    for sentence in texts.sentences(summary):
        console.print(Text(sentence, style="bold"))


def bench_lines(summary: BenchSummary) -> str:
    """Return aligned lines for a file or a pipe."""
    parts = [texts.title(summary), *(_aligned(table) for table in texts.tables(summary))]
    closing = [*(f"Note: {fmt.plain(note)}" for note in texts.notes(summary))]
    closing += texts.sentences(summary)
    return "\n\n".join([*parts, "\n".join(closing)]) + "\n"


def bench_markdown(summary: BenchSummary) -> str:
    """Return a section of a document."""
    parts = [f"**{_escape(texts.title(summary))}**"]
    parts += [_markdown_table(table) for table in texts.tables(summary)]
    parts += [_escape(sentence) for sentence in texts.sentences(summary)]
    parts.append("\n".join(f"- {_escape(note)}" for note in texts.notes(summary)))
    return "\n\n".join(parts) + "\n"


def bench_csv(summary: BenchSummary) -> str:
    """Return one figure a line, see `CSV_HEAD`."""
    config = summary.config
    fixed = (
        config.model_id, config.package_sha256, config.precision, config.ep, config.threads,
        config.host.cpu, summary.started_utc,
    )  # fmt: skip
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for row in _csv_rows(summary):
        cells = (*fixed, *row)
        writer.writerow(fmt.plain(cell) if isinstance(cell, str) else cell for cell in cells)
    return file.getvalue()


_CsvRow = tuple[str | int | float | None, ...]


def _csv_rows(summary: BenchSummary) -> Iterator[_CsvRow]:
    for found in summary.cells:
        cell = found.cell
        test = cell.label, cell.kind, cell.tokens, cell.depth
        yield (*test, "tok_per_s", "1/s", *_numbers(found.tok_per_s))
        for name, unit, value in (
            ("ttft_s", "s", found.ttft_s),
            ("tpot_s", "s", found.tpot_s),
            ("mbu", "1", found.mbu),
            ("mfu", "1", found.mfu),
            ("kernel_share", "1", found.kernel_share),
        ):
            if value is not None:
                yield (*test, name, unit, *_numbers(value))
        if found.energy_j_per_token is not None:
            joules = found.energy_j_per_token
            yield (*test, "energy_j_per_token", "J", None, None, joules, None, None)
    for kind, load in (("cold", summary.load_cold), ("warm", summary.load_warm)):
        if load is not None:
            test_of_load = f"load {kind}", "load", None, None
            yield (*test_of_load, "load_s", "s", *_numbers(load.load_s))
            yield (*test_of_load, "first_token_s", "s", *_numbers(load.first_token_s))
    for phase in summary.memory:
        tokens, depth = (phase.cell.tokens, phase.cell.depth) if phase.cell else (None, None)
        for name, peak in (
            ("rss_peak_bytes", phase.rss_peak_bytes),
            ("anon_peak_bytes", phase.anon_peak_bytes),
            ("file_peak_bytes", phase.file_peak_bytes),
        ):
            if peak is not None:
                yield (
                    f"memory {phase.phase}", phase.phase, tokens, depth, name, "B", 1, peak, peak,
                    None, None,
                )  # fmt: skip
    for name, unit, ceiling in (
        ("bandwidth_bytes_per_s", "B/s", summary.bandwidth),
        ("int8_ops_per_s", "1/s", summary.int8_rate),
        ("kernel_ops_per_s", "1/s", summary.kernel_rate),
    ):
        if ceiling is not None:
            yield (ceiling.kernel, "ceiling", None, None, name, unit, *_numbers(ceiling.rate))


def _numbers(found: Figure) -> tuple[int | float | None, ...]:
    interval = found.interval
    low, high = (interval.low, interval.high) if interval else (None, None)
    return found.n, found.median, found.mean, low, high


def _aligned(table: TextTable) -> str:
    rows = [table.head, *(tuple(fmt.plain(cell) for cell in row) for row in table.rows)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(table.head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _markdown_table(table: TextTable) -> str:
    marks = ("---", *("---:" for _ in table.head[1:]))
    rows = (table.head, marks, *(tuple(map(_escape, row)) for row in table.rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _escape(text: str) -> str:
    return _MARKUP.sub(r"\\\1", fmt.plain(text))
