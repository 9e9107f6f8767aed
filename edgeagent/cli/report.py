"""`edgeagent report`: analyse a run folder again, on any machine."""

from __future__ import annotations

from pathlib import Path

import click

_EXAMPLES = """\b
Examples:
  edgeagent report runs/smollm2-135m-instruct
  edgeagent report runs/jetson --json > jetson.json
"""


@click.command("report", epilog=_EXAMPLES)
@click.argument("run_dir", metavar="RUNDIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, write nothing.")
def command(run_dir: Path, as_json: bool) -> None:
    """Print the trade-off of a run and write it as report.md and summary.json.

    RUNDIR is a folder that `edgeagent profile` wrote. Nothing is measured and no model is loaded,
    so a run copied from a device opens on any machine.
    """
    from edgeagent.report import load_run, summarize, write_report

    if as_json:
        click.echo(summarize(load_run(run_dir)).model_dump_json(indent=2))
        return
    from rich.console import Console

    from edgeagent.report.terminal import print_summary

    summary = write_report(run_dir)
    print_summary(summary, Console(highlight=False))
    click.echo(f"Written: {run_dir / 'report.md'} and {run_dir / 'summary.json'}")
