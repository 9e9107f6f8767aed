"""The tools of a workspace: opened together, closed together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeagent.agent.plugins import load_plugin
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import Tool
from edgeagent.agent.tools.search import DocumentIndex, DocumentSearch
from edgeagent.config.workspace import Workspace


class Toolbox:
    """Open tools."""

    def __init__(self, tools: tuple[Tool, ...], index: DocumentIndex | None) -> None:
        """Own these tools."""
        self.tools = tools
        self._index = index

    def close(self) -> None:
        """Close what has to be closed."""
        if self._index is not None:
            self._index.close()


def plugin_files(workspace: Workspace) -> tuple[Path, ...]:
    """Return the Python files of a workspace."""
    return workspace.plugins


def open_toolbox(
    workspace: Workspace,
    *,
    count_tokens: Callable[[str], int],
    on_note: Callable[[str], None],
) -> Toolbox:
    """Open the tools of a workspace."""
    del count_tokens, on_note
    index = DocumentIndex(workspace.documents) if workspace.documents else None
    tools: list[Tool] = [Calculator()]
    if index is not None:
        tools.append(DocumentSearch(index))
    tools += [tool for path in plugin_files(workspace) for tool in load_plugin(path).tools]
    return Toolbox(tuple(tools), index)
