"""`edgeagent compare`: runs against a reference run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from edgeagent.report.comparison.model import Comparison

REGRESSION_EXIT_CODE = 10

_EXAMPLES = """\b
Examples:
  edgeagent compare runs/before runs/after
  edgeagent compare runs/laptop runs/jetson runs/pi --markdown devices.md
  edgeagent compare runs/main runs/branch --fail-on-regression
"""


@click.command("compare", epilog=_EXAMPLES)
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option(
    "--markdown", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file too."
)
@click.option(
    "--fail-on-regression",
    is_flag=True,
    help=f"End with status {REGRESSION_EXIT_CODE} if anything is worse than in the reference.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    reference: Path,
    runs: tuple[Path, ...],
    as_json: bool,
    markdown: Path | None,
    fail_on_regression: bool,
) -> None:
    """Compare run folders with the run folder REFERENCE, task by task.

    Nothing is measured. Differences within the noise of the machine are said to be not
    distinguishable; runs of different machines may be compared.
    """
    from edgeagent.report.comparison.compare import compare_runs

    comparison = compare_runs((reference, *runs))
    if markdown is not None:
        from edgeagent.record.atomic import write_text
        from edgeagent.report.comparison.render import comparison_markdown

        write_text(markdown, comparison_markdown(comparison))
    if as_json:
        click.echo(comparison.model_dump_json(indent=2))
    else:
        from rich.console import Console

        _show(comparison, Console(highlight=False))
    if fail_on_regression and comparison.has_regression:
        context.exit(REGRESSION_EXIT_CODE)


def _show(comparison: Comparison, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from edgeagent.report.comparison.render import comparison_rows, machine_line, rule
    from edgeagent.report.format import plain

    for run in comparison.runs:
        console.print(Text(f"{plain(run.run)} against {plain(comparison.reference)}", "bold"))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        before = ""
        for name, figure, ratio, verdict in comparison_rows(run):
            table.add_row(*map(Text, ("" if name == before else name, figure, ratio, verdict)))
            before = name
        console.print(table)
        for line in (machine_line(run), *run.notes):
            console.print(Text(plain(line), "dim"))
        if run.differing:
            console.print(Text(f"Settings that differ: {', '.join(run.differing)}.", "dim"))
        console.print()
    console.print(Text(rule(comparison), "dim"))
