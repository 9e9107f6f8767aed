"""`edgeagent tune`: find the settings of the runtime that are best on this device."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeagent.cli.package import get_package
from edgeagent.cli.progress import ProgressDisplay, progress_display, quiet_option
from edgeagent.cli.text import human_bytes, human_duration
from edgeagent.config.tuned import Goal, forget_tuned
from edgeagent.errors import INTERRUPTED_EXIT_CODE, EdgeAgentError
from edgeagent.profiling.tune.tuner import (
    DEFAULT_MINUTES,
    DEFAULT_SEED,
    Tuner,
    TuneResult,
    TuneSettings,
)

if TYPE_CHECKING:
    from edgeagent.profiling.tune.search import SearchStep

_EXAMPLES = """\b
Examples:
  edgeagent tune smollm2-135m-instruct
  edgeagent tune packages/qwen --goal throughput --memory-limit 2GB --max-minutes 15
  edgeagent tune smollm2-135m-instruct --forget
"""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def memory_size(
    _context: click.Context, parameter: click.Parameter, text: str | None
) -> int | None:
    """Read an amount of memory: `2GB`, `1.5 GiB`, `800MB`."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmg]i?)?b?\s*", text, re.IGNORECASE)
    size = float(found[1]) * _UNITS[(found[2] or "").lower()] if found else 0.0
    if size < 1 or size > 1 << 50:
        raise click.BadParameter(f"{text!r} is no amount of memory; write 2GB.", param=parameter)
    return int(size)


@click.command("tune", epilog=_EXAMPLES)
@click.argument("model")
@click.option(
    "--goal",
    type=click.Choice(["latency", "throughput", "energy"]),
    default="latency",
    show_default=True,
    help="Seconds of an agent's turn, tokens per second of a long job, or joules.",
)
@click.option(
    "--memory-limit",
    callback=memory_size,
    metavar="SIZE",
    help="Most resident memory of the engine, such as 2GB.",
)
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0.05, max=24 * 60),
    default=DEFAULT_MINUTES,
    show_default=True,
    help="Time for the search.",
)
@click.option(
    "--context", type=click.IntRange(64, 1 << 20), help="Tokens of the KV cache; default: 2048."
)
@click.option("--ep", default="cpu", show_default=True, help="Execution provider, see `doctor`.")
@click.option(
    "--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Seed of the orders."
)
@click.option("--dry-run", is_flag=True, help="Show what would be searched; measure nothing.")
@click.option("--forget", is_flag=True, help="Delete what was tuned for MODEL.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@quiet_option
def command(
    *,
    model: str,
    goal: Goal,
    memory_limit: int | None,
    max_minutes: float,
    context: int | None,
    ep: str,
    seed: int,
    dry_run: bool,
    forget: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the fastest settings for MODEL on this device; later commands use them by themselves.

    Threads, spinning, the length of prefill chunks and n-gram speculation are searched. Settings
    count only if fresh paired measurements tell them from the default. Ctrl-C keeps the finished
    rounds, and the same command goes on from there.

    `run`, `profile` and others use what was found unless an option says otherwise or --no-tuned
    is given.
    """
    if forget:
        _forget(model, as_json=as_json)
        return
    with progress_display(quiet=quiet) as display:
        package = get_package(model, display)
        tuner = Tuner(
            TuneSettings(
                package=package,
                goal=goal,
                ep=ep,
                context_len=context,
                memory_limit_bytes=memory_limit,
                max_minutes=max_minutes,
                seed=seed,
            )
        )
        result = None if dry_run else _run(tuner, display)
    if result is None:
        _show_plan(tuner, as_json=as_json)
    elif as_json:
        click.echo(result.record.model_dump_json(indent=2))
    else:
        _show(result, model)


def _run(tuner: Tuner, display: ProgressDisplay) -> TuneResult:
    limit_s = 60 * tuner.settings.max_minutes
    show = _Progress(display, tuner, limit_s)
    display.note(f"one piece of work: {tuner.work}")
    try:
        return tuner.run(show.on_step, display.note)
    except KeyboardInterrupt:
        display.note(f"interrupted {_kept(tuner)}")
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    except EdgeAgentError:
        display.note(f"stopped {_kept(tuner)}")
        raise


def _kept(tuner: Tuner) -> str:
    """Say what is left of a search that did not come to its end."""
    if tuner.kept is None:
        return "before anything was measured"
    return (
        f"while measuring; the finished rounds are kept in {tuner.kept}, the same command goes on "
        "from there; nothing was changed"
    )


class _Progress:
    """Shows a search by the time that it took of the time that it has."""

    def __init__(self, display: ProgressDisplay, tuner: Tuner, limit_s: float) -> None:
        self._display = display
        self._tuner = tuner
        self._limit_s = limit_s
        display.update("tuning", 0, limit_s, amount=human_duration)

    def on_step(self, step: SearchStep) -> None:
        """Show a piece of work."""
        self._display.update(
            "tuning",
            min(self._tuner.elapsed_s, self._limit_s),
            self._limit_s,
            detail=f"{step.stage}; {self._tuner.label(step.config)}: {step.cost:.3g}"
            f" {self._tuner.cost_unit}",
            amount=human_duration,
        )


def _show(result: TuneResult, model: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from edgeagent.report import tuning

    record = result.record
    table = Table(title=f"{record.model_id}, {record.goal}", caption=tuning.CAPTION)
    for name in tuning.HEAD:
        table.add_column(name)
    for row in tuning.rows(record):
        table.add_row(*map(Text, row))
    console = Console(highlight=False)
    console.print(table)
    for sentence in tuning.sentences(record):
        click.echo(sentence)
    click.echo(f"Everything measured: {result.record_path}")
    if result.profile_path is not None:
        click.echo(f"Written: {result.profile_path}; `run`, `profile` and others use it from now.")
        click.echo(f"Undo: edgeagent tune {model} --forget")
    if result.removed is not None:
        click.echo(f"Deleted: {result.removed}, which is not better than the default any more.")


def _show_plan(tuner: Tuner, *, as_json: bool) -> None:
    settings = tuner.settings
    stages = {
        stage.name: [tuner.label(config) for config in stage.variants(tuner.default)]
        for stage in tuner.space.stages()
    }
    if as_json:
        plan = {
            "model_id": settings.package.manifest.model_id,
            "goal": settings.goal,
            "work": tuner.work,
            "default": tuner.label(tuner.default),
            "stages": stages,
            "notes": tuner.space.notes(),
            "context_len": settings.context,
            "memory_at_least_bytes": settings.predicted_bytes,
            "memory_limit_bytes": settings.memory_limit_bytes,
            "max_minutes": settings.max_minutes,
            "seed": settings.seed,
        }
        click.echo(json.dumps(plan, indent=2))
        return
    click.echo(f"One piece of work: {tuner.work}")
    click.echo(f"Default: {tuner.label(tuner.default)}")
    for name, labels in stages.items():
        click.echo(f"{name}:")
        for label in labels:
            click.echo(f"  {label}")
    for note in tuner.space.notes():
        click.echo(note)
    click.echo(
        f"Memory of a process: at least {human_bytes(settings.predicted_bytes)} "
        f"with a context of {settings.context} tokens"
    )


def _forget(model: str, *, as_json: bool) -> None:
    from edgeagent.config.package import is_package, read_package
    from edgeagent.export.resolve import resolve

    folder = Path(model).expanduser()
    if is_package(folder):
        model_id = read_package(folder).manifest.model_id
    else:
        model_id = resolve(model).facts.model_id
    deleted = forget_tuned(model_id)
    if as_json:
        click.echo(json.dumps([str(path) for path in deleted], indent=2))
        return
    for path in deleted:
        click.echo(f"Deleted: {path}")
    if not deleted:
        click.echo(f"Nothing was tuned for {model_id}.")
