"""`edgeagent models`: what can be run here, on which terms, and getting its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgeagent.cli.progress import progress_display, quiet_option, show_pull
from edgeagent.cli.text import human_bytes, human_count
from edgeagent.config.model import LocalSource, ModelRecipe, list_recipes, load_recipe
from edgeagent.config.paths import sources_dir
from edgeagent.export.sources import candidates, pull

_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


_GROUP_EXAMPLES = """\b
Examples:
  edgeagent models list
  edgeagent models show smollm2-135m-instruct
  edgeagent models pull smollm2-135m-instruct
"""


@click.group(epilog=_GROUP_EXAMPLES)
def command() -> None:
    """List, show and download models."""


@command.command(
    "list",
    epilog="""\b
Example:
  edgeagent models list --json
""",
)
@_json_option
def list_command(as_json: bool) -> None:
    """List the models that edgeagent has recipes for, smallest first."""
    recipes = list_recipes()
    if as_json:
        click.echo(json.dumps([_facts(recipe) for recipe in recipes], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("weights", justify="right", no_wrap=True)
    table.add_column("context", justify="right", no_wrap=True)
    table.add_column("download", justify="right", no_wrap=True)
    table.add_column("licence", overflow="fold")
    table.add_column("here", no_wrap=True)
    for recipe in recipes:
        size_bytes = _download_bytes(recipe)
        table.add_row(
            recipe.id,
            human_count(recipe.parameters),
            f"{recipe.context_len:,}",
            human_bytes(size_bytes) if size_bytes else "",
            recipe.license.removeprefix("LicenseRef-"),
            "yes" if _present(recipe) else "no",
        )
    Console(highlight=False).print(table)


@command.command(
    "show",
    epilog="""\b
Example:
  edgeagent models show llama-3.2-1b-instruct
""",
)
@click.argument("model")
@_json_option
def show_command(model: str, as_json: bool) -> None:
    """Show what is known about MODEL and where its weights come from."""
    recipe = load_recipe(model)
    if as_json:
        click.echo(json.dumps(_facts(recipe), indent=2))
        return
    rows = {
        "model": f"{recipe.name} ({recipe.id})",
        "family": recipe.family.value,
        "weights": f"{recipe.parameters:,}",
        "context": f"{recipe.context_len:,} tokens",
        "licence": recipe.license,
        "terms": recipe.license_note,
        "see": recipe.license_url or "",
        "tool calls": recipe.tool_call_format.value,
        "languages": ", ".join(recipe.languages),
        "file": str(_present(recipe) or "not here yet"),
    }
    for key, value in rows.items():
        if value:
            click.echo(f"{key:<11} {value}")
    click.echo("sources, in order of preference:")
    for source in recipe.source:
        size = "" if isinstance(source, LocalSource) else _size(source.size_bytes)
        untested = "" if source.checked else ", not downloaded by this project"
        click.echo(f"  {source.origin}{size}{untested}")
        if source.sha256:
            click.echo(f"    SHA-256 {source.sha256}")
    click.echo("without a network, put the file at:")
    for place in candidates(recipe, sources_dir()):
        click.echo(f"  {place}")


@command.command(
    "pull",
    epilog="""\b
Example:
  edgeagent models pull smollm2-135m-instruct
""",
)
@click.argument("model")
@quiet_option
def pull_command(model: str, quiet: bool) -> None:
    """Download and verify the weights of MODEL, and print where they are.

    An interrupted download can be started again. A file that is already here is not downloaded.
    """
    recipe = load_recipe(model)
    with progress_display(quiet=quiet) as display:
        if recipe.license_note:
            display.note(f"{recipe.name}: {recipe.license_note} See {recipe.license_url}")
        path = pull(recipe, sources_dir(), on_progress=show_pull(display, recipe.id))
    click.echo(str(path))


def _present(recipe: ModelRecipe) -> Path | None:
    """Return the file that a pull would use if it verifies; it is not hashed here."""
    places = candidates(recipe, sources_dir())
    return next((place for place in places if place.is_file()), None)


def _download_bytes(recipe: ModelRecipe) -> int | None:
    """Return the size of the preferred download."""
    sizes = (s.size_bytes for s in recipe.source if not isinstance(s, LocalSource))
    return next(sizes, None)


def _size(size_bytes: int | None) -> str:
    return f" ({human_bytes(size_bytes)})" if size_bytes else ""


def _facts(recipe: ModelRecipe) -> dict[str, Any]:
    path = _present(recipe)
    return recipe.model_dump(mode="json") | {"file": str(path) if path else None}
