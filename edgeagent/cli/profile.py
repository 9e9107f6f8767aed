"""`edgeagent profile`: measure the paradigms on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeagent.agent.paradigms import DEFAULT_PARADIGMS
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
from edgeagent.cli.power_options import POWER_NAMES, power_options, power_request
from edgeagent.cli.progress import ProgressDisplay, progress_display, quiet_option
from edgeagent.cli.protocol_options import PROTOCOL_NAMES, protocol, protocol_options
from edgeagent.cli.workspace_options import (
    WORKSPACE_NAMES,
    named_paradigms,
    workspace,
    workspace_options,
)
from edgeagent.config.model import DEFAULT_MODEL
from edgeagent.errors import INTERRUPTED_EXIT_CODE
from edgeagent.profiling.held_out import with_memory
from edgeagent.profiling.progress import ProfileProgress
from edgeagent.profiling.run_folder import RunFolder
from edgeagent.profiling.runner import run_profile
from edgeagent.profiling.settings import DEFAULT_SEED, ProfileSettings, check_paradigms
from edgeagent.profiling.suites import open_suite
from edgeagent.record.run import TASKS_NAME
from edgeagent.report.terminal import print_summary
from edgeagent.report.write import REPORT_NAME, SUMMARY_NAME, write_report

_EXAMPLES = """\b
Examples:
  edgeagent profile
  edgeagent profile qwen2.5-0.5b-instruct --paradigms base,single --repeat 3
  edgeagent profile model.gguf --suite my-suite/ --out runs/kitchen-laptop
  edgeagent profile --paradigms single --memory
"""


@click.command("profile", epilog=_EXAMPLES)
@click.argument("model", default=DEFAULT_MODEL)
@click.option(
    "--paradigms",
    default=",".join(DEFAULT_PARADIGMS),
    show_default=True,
    help="What to compare, separated by commas: names, or TOML files of teams.",
)
@click.option(
    "--suite",
    default="core",
    show_default=True,
    help="A suite's name or path, or a benchmark such as bfcl:simple_python.",
)
@workspace_options
@click.option(
    "--memory",
    "learning",
    is_flag=True,
    help="Learn from half of the tasks, then compare single with and without memory on the others.",
)
@protocol_options
@power_options
@click.option(
    "--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Seed of the order of tasks."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder; default: a new one in runs/, or the unfinished one of the same settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@engine_options
@budget_options
@quiet_option
def command(
    *,
    model: str,
    paradigms: str,
    suite: str,
    learning: bool,
    seed: int,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    tool_call_format: str | None,
    **options: Any,
) -> None:
    """Run MODEL as base model, single agent and multi-agent system, and print the trade-off.

    MODEL is a recipe's id, a GGUF file or a package folder; without one it is the small default
    model. Everything is recorded in the run folder. Ctrl-C keeps what is finished, and the same
    command goes on from there.
    """
    loaded_suite = open_suite(suite)
    names, teams = named_paradigms(paradigms.split(","))
    if learning:
        names = with_memory(names)
    agents = workspace(**take(options, WORKSPACE_NAMES), teams=teams)
    check_paradigms(names, catalog_of(agents))
    with progress_display(quiet=quiet) as display:
        package = get_package(model, display)
        choice = engine_choice(package, **take(options, ENGINE_NAMES))
        if choice.note:
            display.note(choice.note)
        settings = ProfileSettings(
            package=package,
            suite=loaded_suite,
            paradigms=names,
            protocol=protocol(**take(options, PROTOCOL_NAMES)),
            power=power_request(**take(options, POWER_NAMES)),
            seed=seed,
            engine=choice.config,
            engine_origin=choice.origin,
            budget=budget(**options),
            workspace=agents,
            tool_call_format=tool_call_format,
            learning=learning,
            out=out,
        )
        run = _ShownRun(display)
        try:
            result = run_profile(settings, run.on_progress, on_folder=run.on_folder)
        except KeyboardInterrupt:
            display.note(run.interrupted())
            raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    summary = write_report(result.folder)
    if as_json:
        click.echo(summary.model_dump_json(indent=2))
        return
    from rich.console import Console

    print_summary(summary, Console(highlight=False))
    click.echo(f"Written: {result.folder / REPORT_NAME} and {result.folder / SUMMARY_NAME}")


class _ShownRun:
    """Shows a run on a display and remembers what to say when it is interrupted."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display
        self._folder: Path | None = None
        self._total = 0

    def on_folder(self, folder: RunFolder, total: int) -> None:
        """Say where the run is recorded."""
        self._folder, self._total = folder.path, total
        taken_up = (
            f", {len(folder.timings)} of {total} task runs are there" if folder.timings else ""
        )
        self._display.note(f"recording in {folder.path}{taken_up}")

    def on_progress(self, progress: ProfileProgress) -> None:
        """Show how far it is."""
        if progress.note:
            self._display.note(progress.note)
        self._display.update(progress.stage, progress.done, progress.total, detail=progress.detail)

    def interrupted(self) -> str:
        """Return what is kept."""
        if self._folder is None:
            return "interrupted before anything was measured"
        tasks = self._folder / TASKS_NAME
        kept = tasks.read_bytes().count(b"\n") if tasks.is_file() else 0
        return (
            f"interrupted; {kept} of {self._total} task runs are kept in {self._folder}, "
            "the same command goes on from there"
        )
