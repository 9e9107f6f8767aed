"""Options that say what agents may work with, and which paradigms a user can name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import click

from edgeagent.config.team import load_team
from edgeagent.config.workspace import Workspace

_Function = TypeVar("_Function", bound=Callable[..., object])

_OPTIONS = (
    click.option(
        "--tools",
        "tools_file",
        type=click.Path(path_type=Path),
        help="TOML file of further tools: folders, tables, Python, MCP servers, programs.",
    ),
    click.option(
        "--plugin",
        "plugins",
        type=click.Path(path_type=Path),
        multiple=True,
        help="Python file with tools and paradigms of your own; it is run. Repeatable.",
    ),
    click.option(
        "--format",
        "tool_call_format",
        help="How tools are called, such as hermes or plain; default: as the model does.",
    ),
)
WORKSPACE_NAMES = ("tools_file", "plugins")
"""Names of the parameters that make a workspace."""


def workspace_options(function: _Function) -> _Function:
    """Add `--tools`, `--plugin` and `--format`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def workspace(
    *,
    tools_file: Path | None,
    plugins: Iterable[Path],
    teams: Iterable[Path] = (),
    documents: Path | None = None,
    memory: Path | None = None,
) -> Workspace:
    """Return the workspace that the options stand for."""
    return Workspace(
        documents=documents,
        tools_file=tools_file,
        plugins=tuple(plugins),
        teams=tuple(teams),
        memory=memory,
    )


def named_paradigms(given: Iterable[str]) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Return the names of paradigms, and the team files among them.

    A paradigm is given by name, or as the path of a team's TOML file.

    Raises:
        ConfigError: A team's file is not valid.
    """
    names: list[str] = []
    teams: list[Path] = []
    for text in filter(None, map(str.strip, given)):
        if text.lower().endswith(".toml"):
            teams.append(Path(text))
            names.append(load_team(teams[-1]).name)
        else:
            names.append(text)
    return tuple(names), tuple(teams)
