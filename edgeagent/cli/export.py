"""`edgeagent export`: from a recipe or weights to a verified package."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from edgeagent.cli.package import show_backend, show_export
from edgeagent.cli.progress import progress_display, quiet_option, show_pull
from edgeagent.cli.text import human_bytes
from edgeagent.config.package import Package
from edgeagent.export.backends.settings import BackendSettings, Ep, Precision
from edgeagent.export.resolve import export_model, export_with
from edgeagent.export.settings import ExportSettings, PolicyName

_EXAMPLES = """\b
Examples:
  edgeagent export smollm2-135m-instruct
  edgeagent export ~/models/qwen2.5-0.5b-instruct-q4_k_m.gguf --policy compact
  edgeagent export ~/models/Qwen3-0.6B/ --policy auto --out packages/qwen3
  edgeagent export hf:HuggingFaceTB/SmolLM2-360M-Instruct --policy mixed
  edgeagent export smollm2-135m-instruct --adapter notes=~/lora/notes --out packages/notes
  edgeagent export ~/models/Qwen3-0.6B/ --backend builder --ep cuda --create-env
"""


@click.command("export", epilog=_EXAMPLES)
@click.argument("model", metavar="MODEL|FILE|FOLDER|hf:OWNER/REPO")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the package; default: below the cache folder.",
)
@click.option(
    "--policy",
    type=click.Choice(get_args(PolicyName)),
    default="exact",
    show_default=True,
    help="exact: keep every block; compact: about 4 bits; auto: the smallest that is faithful.",
)
@click.option(
    "--calibrate/--no-calibrate",
    default=None,
    help="Weight rounding errors by a sample's activations; default: where 4 bits are rounded to.",
)
@click.option(
    "--context", type=click.IntRange(64, 1 << 20), help="Longest context; default: at most 8,192."
)
@click.option(
    "--verify",
    type=click.Choice(["full", "load", "none"]),
    default="full",
    show_default=True,
    help="Compare logits with the source, only load, or nothing.",
)
@click.option(
    "--adapter",
    "adapters",
    metavar="NAME=PATH",
    multiple=True,
    help="LoRA adapter that sessions can activate: a PEFT folder or a GGUF; may be repeated.",
)
@click.option("--force", is_flag=True, help="Keep a package that does not pass the gate.")
@click.option(
    "--backend",
    type=click.Choice(["native", "builder", "optimum"]),
    default="native",
    show_default=True,
    help="Another tool for other devices and architectures, see docs/backends.md.",
)
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), help="Of a backend; default: int4."
)
@click.option("--ep", type=click.Choice(get_args(Ep)), help="Device of a backend; default: cpu.")
@click.option("--backend-option", metavar="K=V", multiple=True, help="Option of the tool.")
@click.option(
    "--backend-python",
    type=click.Path(path_type=Path),
    help="A Python that has the tool; default: an environment of edgeagent's own.",
)
@click.option(
    "--create-env", is_flag=True, help="Make that environment if it is missing (a download)."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@quiet_option
def command(
    *,
    model: str,
    out: Path | None,
    policy: str,
    calibrate: bool | None,
    context: int | None,
    verify: str,
    adapters: tuple[str, ...],
    force: bool,
    backend: str,
    precision: str | None,
    ep: str | None,
    backend_option: tuple[str, ...],
    backend_python: Path | None,
    create_env: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Turn a model into a quantized ONNX package and prove how faithful it is.

    A model is a recipe's id, a GGUF file (of a split one, any part), a Hugging Face folder with
    safetensors, or an address of the hub, which is downloaded. The last step loads the package and
    compares its tokens, logits and choices of tools with the source; a package that does not pass
    this gate is not written. The figures are kept in manifest.json.
    """
    settings = ExportSettings.model_validate(
        {
            "policy": policy,
            "calibrate": calibrate,
            "context_len": context,
            "verify": verify,
            "accept_low_fidelity": force,
        }
    )
    given = _given({"precision": precision, "ep": ep})
    if backend == "native" and any((given, backend_option, backend_python, create_env)):
        raise click.UsageError(
            "--precision, --ep, --backend-option, --backend-python and --create-env are of a"
            " backend; give --backend builder or optimum as well."
        )
    if backend != "native" and adapters:
        raise click.UsageError("--adapter is of the native exporter.")
    if backend != "native" and (policy != "exact" or calibrate is not None):
        raise click.UsageError("A backend has a --precision; --policy is of the native exporter.")
    with progress_display(quiet=quiet) as display:
        if backend == "native":
            package = export_model(
                model,
                out,
                on_pull=show_pull(display, model),
                on_export=show_export(display),
                settings=settings,
                adapters={
                    name: Path(path).expanduser() for name, path in _pairs("adapter", adapters)
                },
            )
        else:
            package = export_with(
                backend,
                model,
                out,
                on_pull=show_pull(display, model),
                on_export=show_backend(display, backend),
                settings=settings,
                backend_settings=BackendSettings.model_validate(
                    {
                        **given,
                        "options": dict(_pairs("backend-option", backend_option)),
                        "python": backend_python,
                        "create_environment": create_env,
                    }
                ),
            )
    if as_json:
        click.echo(package.manifest.model_dump_json(indent=2))
    else:
        _print(package)


def _given(options: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _pairs(option: str, values: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for value in values:
        name, sign, rest = value.partition("=")
        if not (name and sign and rest):
            raise click.UsageError(f"--{option} {value} is not of the form NAME=VALUE.")
        if name in dict(pairs):
            raise click.UsageError(f"--{option} names {name} twice.")
        pairs.append((name, rest))
    return pairs


def _print(package: Package) -> None:
    manifest = package.manifest
    source = manifest.source
    click.echo(f"{manifest.model_id} from {source.file} ({human_bytes(source.size_bytes)})")
    for group in manifest.tensor_groups:
        types = ", ".join(f"{count} x {name}" for name, count in group.source_types.items())
        exact = "exact" if group.exact else "rounded"
        click.echo(
            f"  {group.group:<10} {human_bytes(group.size_bytes):>9}  {group.stored_as}"
            f"  ({f'{types}; ' if types else ''}{exact})"
        )
    for adapter in manifest.adapters:
        click.echo(f"  adapter {adapter.name}: rank {adapter.rank}, {', '.join(adapter.targets)}")
    if (fidelity := manifest.fidelity) is not None:
        calls = ""
        if fidelity.tool_call_agreement is not None:
            calls = (
                f", same tool picked in {fidelity.tool_call_agreement:.0%} of"
                f" {fidelity.tool_calls} questions"
            )
        click.echo(
            f"  fidelity on {fidelity.tokens} tokens: same top token {fidelity.top1_agreement:.1%},"
            f" KL {fidelity.kl_mean:.4f} nats, perplexity {fidelity.perplexity_change:+.2%}{calls}"
        )
    if (gate := manifest.gate) is not None:
        missed = f"NOT passed ({'; '.join(gate.missed)}), kept by force"
        click.echo(f"  gate: {'passed' if gate.passed else missed}")
    took = "" if manifest.export_s is None else f" in {manifest.export_s:.0f} s"
    click.echo(f"{human_bytes(manifest.package_bytes)} written to {package.folder}{took}")
