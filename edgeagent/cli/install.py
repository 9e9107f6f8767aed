"""`edgeagent install`: verify a bundle and unpack it on the device, offline."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import click

from edgeagent.bundle.install import InstalledBundle, differing_versions, install_bundle
from edgeagent.cli.bundle import show_bundle
from edgeagent.cli.progress import progress_display, quiet_option
from edgeagent.cli.text import human_bytes

_EXAMPLES = """\b
Examples:
  edgeagent install qwen-jetson.tar
  edgeagent install qwen-jetson.tar --out packages/qwen --sha256 5f2c...
"""
_SHOWN_VERSIONS = 5


@click.command("install", epilog=_EXAMPLES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the package; default: the model's own below the cache folder.",
)
@click.option("--any-platform", is_flag=True, help="Take wheels for another device too.")
@click.option("--sha256", metavar="HEX", help="Refuse the archive unless it has this hash.")
@click.option("--json", "as_json", is_flag=True, help="Print what was installed as JSON.")
@quiet_option
def command(
    *,
    bundle: Path,
    out: Path | None,
    any_platform: bool,
    sha256: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Verify a bundle and unpack it; the network is not used.

    Every byte is checked before anything takes its place: sizes and hashes, names that lead out of
    the folder, bombs, the platform of the wheels. Whoever made the bundle can tell you its SHA-256;
    --sha256 proves that it is that very file. Exit codes: 2 wrong arguments or a bundle for another
    device, 4 damaged, hostile or of a newer version, 5 no room on the disk, 9 zstd is missing.
    """
    if sha256 is not None and not re.fullmatch(r"[0-9A-Fa-f]{64}", sha256):
        raise click.BadParameter("a SHA-256 has 64 hexadecimal digits.", param_hint="--sha256")
    with progress_display(quiet=quiet) as display:
        installed = install_bundle(
            bundle,
            out,
            any_platform=any_platform,
            sha256=sha256,
            on_progress=show_bundle(display),
        )
    if as_json:
        click.echo(json.dumps(_as_data(installed), indent=2))
    else:
        _print(installed)


def _next_commands(installed: InstalledBundle) -> list[list[str]]:
    """Return what to type next: the runtime from the wheels, then a profile on the suite."""
    commands = []
    if installed.wheelhouse is not None:
        pip = ["python", "-m", "pip", "install", "--no-index", "--find-links"]
        pip += [str(installed.wheelhouse), "-r", str(installed.requirements)]
        commands.append(pip)
    profile = ["edgeagent", "profile", str(installed.folder), "--suite", str(installed.suite)]
    return [*commands, profile]


def _as_data(installed: InstalledBundle) -> dict[str, object]:
    return {
        "folder": str(installed.folder),
        "wheelhouse": str(installed.wheelhouse) if installed.wheelhouse else None,
        "requirements": str(installed.requirements),
        "suite": str(installed.suite),
        "device": str(installed.device) if installed.device else None,
        "next": _next_commands(installed),
        "index": installed.index.model_dump(mode="json"),
    }


def _print(installed: InstalledBundle) -> None:
    index = installed.index
    click.echo(
        f"{index.model_id}: {len(index.files)} files, {human_bytes(index.content_bytes)}, every"
        f" hash is right; installed in {installed.folder}"
    )
    differing = differing_versions(installed.requirements)
    if differing and installed.wheelhouse is None:
        shown = [
            f"{name} {pinned} (here: {here or 'none'})"
            for name, (pinned, here) in list(differing.items())[:_SHOWN_VERSIONS]
        ]
        more = f" and {len(differing) - len(shown)} more" if len(differing) > len(shown) else ""
        click.echo(f"It was made with other versions: {', '.join(shown)}{more}.")
    click.echo("Next:")
    for words in _next_commands(installed):
        line = subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
        click.echo(f"  {line}")
