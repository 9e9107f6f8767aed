"""What a user gave agents to work with: folders, tools, teams. It travels to child processes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgeagent.config.spec import Spec
from edgeagent.errors import ConfigError


class Workspace(Spec):
    """Paths only; what lies there is opened by the layers above.

    Everything here was named by the user. Nothing is offered to a model that is not.
    """

    documents: Path | None = None
    """Folder that the search tool searches."""
    documents_of_suite: bool = False
    """Whether these are a suite's: read anew and completely, or not at all."""
    tools_file: Path | None = None
    """TOML file of further tools: folders, tables, Python, MCP servers, programs."""
    plugins: tuple[Path, ...] = ()
    """Python files with tools and paradigms of the user's own; code that the user trusts."""
    teams: tuple[Path, ...] = ()
    """TOML files of teams, each a paradigm."""
    memory: Path | None = None
    """SQLite file of solved traces that agents learn from, `None` for no memory."""

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the files that decide what agents are, by kind and file name.

        Runs repeat it: two of them are the same only if these are. Folders are not in it, as
        documents of a suite have a digest of their own.

        Raises:
            ConfigError: One of the files cannot be read.
        """
        named = [("tools", self.tools_file)] if self.tools_file else []
        named += [("plugin", path) for path in self.plugins]
        named += [("team", path) for path in self.teams]
        return {f"{kind}:{path.name}": _sha256(path) for kind, path in named}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
