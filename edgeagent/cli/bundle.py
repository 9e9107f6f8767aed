"""`edgeagent bundle`: one archive that brings a package and all it needs to a device."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgeagent.bundle.index import WheelTarget
from edgeagent.bundle.platforms import PLATFORMS, PYTHONS, this_python
from edgeagent.bundle.progress import BundleStage, OnBundleProgress
from edgeagent.bundle.write import BundleSettings, WrittenBundle, write_bundle
from edgeagent.cli.package import get_package
from edgeagent.cli.progress import ProgressDisplay, progress_display, quiet_option
from edgeagent.cli.text import human_bytes

_LABELS = {
    "wheels": "downloading wheels",
    "hash": "hashing the contents",
    "write": "writing the bundle",
    "verify": "verifying and unpacking",
}
_EXAMPLES = """\b
Examples:
  edgeagent bundle smollm2-135m-instruct
  edgeagent bundle packages/qwen --wheelhouse linux-aarch64 --python 3.11 --out qwen-jetson.tar
  edgeagent bundle packages/qwen --device jetson-orin-nano --suite my-suite/ --zstd
"""


@click.command("bundle", epilog=_EXAMPLES)
@click.argument("model", metavar="PACKAGE|MODEL")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The archive; default: MODEL.bundle.tar in the current folder.",
)
@click.option("--suite", default="core", show_default=True, help="Evaluation suite to bring along.")
@click.option(
    "--device",
    metavar="ID|FILE",
    help="Device profile: one of `edgeagent devices`, or a TOML file.",
)
@click.option(
    "--wheelhouse",
    type=click.Choice(list(PLATFORMS)),
    help="Download the runtime's wheels for this platform; the only use of the network.",
)
@click.option(
    "--python",
    type=click.Choice(PYTHONS),
    help="Python of the wheels; default: the one that runs here.",
)
@click.option("--zstd", is_flag=True, help="Compress; the device needs zstd too.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
@quiet_option
def command(
    *,
    model: str,
    out: Path | None,
    suite: str,
    device: str | None,
    wheelhouse: str | None,
    python: str | None,
    zstd: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Put an exported model and all that a device needs for it into one archive.

    It holds the package, an evaluation suite, pinned versions of the runtime, licence notices and
    hashes of everything; with --wheelhouse also the runtime itself, so that the device needs no
    network. Equal contents give equal bytes. Exit codes: 2 wrong arguments or an incomplete
    package, 3 a wheel cannot be had, 5 no room on the disk, 9 zstd is not installed.
    """
    if python is not None and wheelhouse is None:
        raise click.UsageError("--python says for which Python --wheelhouse is; give both.")
    target = None
    if wheelhouse is not None:
        target = WheelTarget(platform=wheelhouse, python=python or this_python())
    with progress_display(quiet=quiet) as display:
        package = get_package(model, display)
        settings = BundleSettings(suite, device, target, zstd)
        default = f"{package.manifest.model_id}.bundle.tar{'.zst' if zstd else ''}"
        bundle = write_bundle(
            package, out or Path(default), settings, on_progress=show_bundle(display)
        )
    if as_json:
        click.echo(json.dumps(_as_data(bundle), indent=2))
    else:
        _print(bundle)


def show_bundle(display: ProgressDisplay) -> OnBundleProgress:
    """Return a callback that shows how far a bundle is."""

    def report(stage: BundleStage, done: int, total: int | None) -> None:
        display.update(_LABELS[stage], done, total, amount=human_bytes)

    return report


def _as_data(bundle: WrittenBundle) -> dict[str, object]:
    return {
        "path": str(bundle.path),
        "size_bytes": bundle.size_bytes,
        "sha256": bundle.sha256,
        "index": bundle.index.model_dump(mode="json"),
    }


def _print(bundle: WrittenBundle) -> None:
    index = bundle.index
    suite = f"{index.suite.name}@{index.suite.version}"
    click.echo(f"{index.model_id} with suite {suite}, {len(index.files)} files")
    if (target := index.wheelhouse) is not None:
        click.echo(f"  {len(index.wheels)} wheels for {target.platform}, Python {target.python}")
    else:
        click.echo("  no wheels; --wheelhouse PLATFORM adds the runtime for a device")
    click.echo(f"  SHA-256 {bundle.sha256}")
    click.echo(f"{human_bytes(bundle.size_bytes)} written to {bundle.path}")
