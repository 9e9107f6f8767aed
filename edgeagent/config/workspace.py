"""What a user gave agents to work with: folders, tools, teams. It travels to child processes."""

from __future__ import annotations

from pathlib import Path

from edgeagent.config.spec import Spec


class Workspace(Spec):
    """Paths only; what lies there is opened by the layers above.

    Everything here was named by the user. Nothing is offered to a model that is not.
    """

    documents: Path | None = None
    """Folder that the search tool searches."""
    tools_file: Path | None = None
    """TOML file of further tools: folders, tables, Python, MCP servers, programs."""
    plugins: tuple[Path, ...] = ()
    """Python files with tools and paradigms of the user's own; code that the user trusts."""
    teams: tuple[Path, ...] = ()
    """TOML files of teams, each a paradigm."""
    memory: Path | None = None
    """SQLite file of solved traces that agents learn from, `None` for no memory."""
