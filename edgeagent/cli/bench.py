"""`edgeagent bench`: raw speed of a model next to the limits of the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeagent.cli.options import ENGINE_NAMES, engine_choice, engine_options, take
from edgeagent.cli.package import get_package
from edgeagent.cli.progress import ProgressDisplay, progress_display, quiet_option
from edgeagent.config.model import DEFAULT_MODEL
from edgeagent.errors import INTERRUPTED_EXIT_CODE, ConfigError
from edgeagent.profiling.bench.energy import find_energy_meter
from edgeagent.profiling.bench.run import (
    BenchParts,
    BenchProgress,
    BenchResult,
    OnBenchProgress,
    run_bench,
)
from edgeagent.profiling.bench.settings import (
    DEFAULT_DEPTHS,
    DEFAULT_MIN_DURATION_S,
    DEFAULT_NEW_TOKENS,
    DEFAULT_PROMPT_LENS,
    DEFAULT_REPEAT,
    DEFAULT_SEED,
    BenchSettings,
)
from edgeagent.profiling.bench.spec_sheet import spec_sheet

if TYPE_CHECKING:
    from edgeagent.record.bench_run import BenchRecord

_EXAMPLES = """\b
Examples:
  edgeagent bench smollm2-135m-instruct
  edgeagent bench model.gguf --prompt-lens 64,256 --depths 0,512 --repeat 10 --out bench.json
  edgeagent bench packages/my-model --threads 4 --format csv
  edgeagent bench --from bench.json --format markdown
"""
FORMATS = ("table", "json", "csv", "markdown")
_BY_SUFFIX = {".json": "json", ".csv": "csv", ".md": "markdown", ".txt": "table"}


def _numbers(least: int) -> Callable[[click.Context, click.Parameter, str], tuple[int, ...]]:
    """Return a callback that reads whole numbers separated by commas."""

    def read(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, ...]:
        words = [word.strip() for word in value.split(",") if word.strip()]
        if not all(word.isascii() and word.isdigit() and len(word) < 8 for word in words):
            raise click.BadParameter(f"{value!r} is not whole numbers separated by commas")
        numbers = tuple(dict.fromkeys(map(int, words)))
        if any(number < least for number in numbers):
            raise click.BadParameter(f"{value!r} has a number below {least}")
        return numbers

    return read


def _text(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


@click.command("bench", epilog=_EXAMPLES)
@click.argument("model", default=DEFAULT_MODEL)
@click.option(
    "--prompt-lens",
    callback=_numbers(1),
    metavar="N,N,...",
    default=_text(DEFAULT_PROMPT_LENS),
    show_default=True,
    help="Lengths of prompts, in tokens.",
)
@click.option(
    "--depths",
    callback=_numbers(0),
    metavar="N,N,...",
    default=_text(DEFAULT_DEPTHS),
    show_default=True,
    help="Tokens in the KV cache before a decode.",
)
@click.option(
    "--new-tokens",
    type=click.IntRange(1, 1 << 16),
    default=DEFAULT_NEW_TOKENS,
    show_default=True,
    help="Steps of a decode.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    default=DEFAULT_REPEAT,
    show_default=True,
    help="Rounds; each measures everything once, in fresh processes and a random order.",
)
@click.option(
    "--min-duration",
    type=click.FloatRange(0, 3600),
    default=DEFAULT_MIN_DURATION_S,
    show_default=True,
    help="Seconds that each test is measured for at least, in all rounds together.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 32) - 1),
    default=DEFAULT_SEED,
    show_default=True,
    help="Seed of the tokens and of the order.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="What is printed.",
)
@click.option("--json", "as_json", is_flag=True, help="Same as --format json.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the result to this file: .json (with all readings), .csv, .md or .txt.",
)
@click.option(
    "--from",
    "from_file",
    metavar="FILE.json",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Show a benchmark that was written as .json again; nothing is measured.",
)
@engine_options
@quiet_option
def command(
    *,
    model: str,
    prompt_lens: tuple[int, ...],
    depths: tuple[int, ...],
    new_tokens: int,
    repeat: int,
    min_duration: float,
    seed: int,
    form: str,
    as_json: bool,
    out: Path | None,
    from_file: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Measure the raw speed of MODEL, and how close it comes to the limits of this device.

    MODEL is a recipe's id, a GGUF file or a package folder; without one it is the small default
    model. Prompts are random tokens. Measured are prefill at several lengths, decode at several
    depths of context, loading from storage and from memory, peak memory by phase, and the device's
    own limits: memory bandwidth and the rate of integer products. Ctrl-C keeps what is measured.
    """
    import edgeagent.report.bench.render  # noqa: F401 - what fails should fail before measuring

    out_form = _form_of(out) if out is not None else None
    form = "json" if as_json else form
    if from_file is not None:
        from edgeagent.report.bench.load import load_bench

        _deliver(BenchResult(load_bench(from_file)), form, out, out_form)
        return
    with progress_display(quiet=quiet) as display:
        package = get_package(model, display)
        choice = engine_choice(package, **take(options, ENGINE_NAMES))
        if choice.note:
            display.note(choice.note)
        settings = BenchSettings(
            package=package,
            engine=choice.config,
            engine_origin=choice.origin,
            prompt_lens=prompt_lens,
            depths=depths,
            new_tokens=new_tokens,
            repeat=repeat,
            min_duration_s=min_duration,
            seed=seed,
            spec=spec_sheet(choice.config.ep),
        )
        try:
            parts = BenchParts(energy=find_energy_meter())
            result = run_bench(settings, _show(display), parts)
        except KeyboardInterrupt:
            display.note("interrupted before anything was measured")
            raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    _deliver(result, form, out, out_form)


def _show(display: ProgressDisplay) -> OnBenchProgress:
    """Return a callback that shows how far the benchmark is."""

    def report(progress: BenchProgress) -> None:
        detail = ", ".join(part for part in (progress.stage, progress.detail) if part)
        display.update("measuring", progress.done, progress.total, detail=detail)

    return report


def _deliver(result: BenchResult, form: str, out: Path | None, out_form: str | None) -> None:
    """Print and write what was measured; then end as the benchmark ended."""
    if out is not None and out_form is not None:
        from edgeagent.record.atomic import write_text

        write_text(out, _render(result.record, out_form))
    _print(result.record, form)
    if out is not None:
        click.echo(f"Written: {out}", err=form != "table")
    if result.interrupted:
        cells = len(result.record.cells)
        click.echo(f"interrupted; what was measured until then is kept ({cells} tests)", err=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE)
    if result.error is not None:
        raise result.error


def _print(record: BenchRecord, form: str) -> None:
    from rich.console import Console

    from edgeagent.report.bench.render import print_bench
    from edgeagent.report.bench.summary import summarize_bench

    console = Console(highlight=False)
    if form == "table" and console.is_terminal:
        print_bench(summarize_bench(record), console)
    else:
        click.echo(_render(record, form), nl=False)


def _render(record: BenchRecord, form: str) -> str:
    from edgeagent.report.bench import render
    from edgeagent.report.bench.summary import summarize_bench

    if form == "json":
        return render.bench_json(record)
    writers = {
        "table": render.bench_lines,
        "csv": render.bench_csv,
        "markdown": render.bench_markdown,
    }
    return writers[form](summarize_bench(record))


def _form_of(out: Path) -> str:
    """Return what to write, before anything is measured.

    Raises:
        ConfigError: The name does not tell, or the folder does not exist.
    """
    form = _BY_SUFFIX.get(out.suffix.lower())
    if form is None:
        raise ConfigError(
            f"{out} does not tell what to write; let its name end in {', '.join(_BY_SUFFIX)}."
        )
    if not out.parent.is_dir():
        raise ConfigError(f"The folder {out.parent} does not exist; make it first.")
    return form
