"""`edgeagent export`: from a recipe or a GGUF file to a verified package."""

from __future__ import annotations

from pathlib import Path

import click

from edgeagent.cli.package import show_export
from edgeagent.cli.progress import progress_display, quiet_option, show_pull
from edgeagent.cli.text import human_bytes
from edgeagent.config.package import Package
from edgeagent.export.resolve import export_model
from edgeagent.export.settings import ExportSettings

_EXAMPLES = """\b
Examples:
  edgeagent export smollm2-135m-instruct
  edgeagent export ~/models/qwen2.5-0.5b-instruct-q4_0.gguf --out packages/qwen
"""


@click.command("export", epilog=_EXAMPLES)
@click.argument("model", metavar="MODEL|FILE.gguf")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the package; default: below the cache folder.",
)
@click.option(
    "--context", type=click.IntRange(16, 1 << 20), help="Longest context; default: at most 8,192."
)
@click.option(
    "--verify",
    type=click.Choice(["full", "load", "none"]),
    default="full",
    show_default=True,
    help="Compare logits with the source, only load, or nothing.",
)
@click.option("--force", is_flag=True, help="Keep a package that misses the fidelity thresholds.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@quiet_option
def command(
    *,
    model: str,
    out: Path | None,
    context: int | None,
    verify: str,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Turn a model into a quantized ONNX package and prove how faithful it is.

    Quantized blocks of a GGUF are imported as they are. The last step loads the package and
    compares its tokens and logits with the source; the figures are kept in manifest.json.
    """
    settings = ExportSettings.model_validate(
        {"context_len": context, "verify": verify, "accept_low_fidelity": force}
    )
    with progress_display(quiet=quiet) as display:
        package = export_model(
            model,
            out,
            on_pull=show_pull(display, model),
            on_export=show_export(display),
            settings=settings,
        )
    if as_json:
        click.echo(package.manifest.model_dump_json(indent=2))
    else:
        _print(package)


def _print(package: Package) -> None:
    manifest = package.manifest
    source = manifest.source
    click.echo(f"{manifest.model_id} from {source.file} ({human_bytes(source.size_bytes)})")
    for group in manifest.tensor_groups:
        types = ", ".join(f"{count} x {name}" for name, count in group.source_types.items())
        exact = "exact" if group.exact else "requantized"
        click.echo(
            f"  {group.group:<10} {human_bytes(group.size_bytes):>9}  {group.stored_as}"
            f"  ({types}; {exact})"
        )
    if (fidelity := manifest.fidelity) is not None:
        click.echo(
            f"  fidelity on {fidelity.tokens} tokens: same top token {fidelity.top1_agreement:.1%},"
            f" KL {fidelity.kl_mean:.4f} nats, perplexity {fidelity.perplexity_change:+.2%}"
        )
    click.echo(f"{human_bytes(manifest.package_bytes)} written to {package.folder}")
