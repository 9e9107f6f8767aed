"""The tool that answers SQL queries over CSV files and SQLite databases."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.tools.protocol import (
    JsonSchema,
    ToolResult,
    object_schema,
    pattern_schema,
    string_argument,
    text_schema,
)
from edgeagent.agent.tools.sql.database import QUERY_S, Database
from edgeagent.agent.tools.sql.mentions import find_mentions
from edgeagent.agent.tools.sql.narrow import query_pattern
from edgeagent.agent.tools.sql.tables import Rows, Table
from edgeagent.errors import ToolError

MAX_QUERY_CHARS = 240
MAX_SHOWN_ROWS = 20
MAX_SHOWN_CHARS = 1500
MAX_CELL_CHARS = 120

_MOST_DESCRIBED_CHARS = 700
_MOST_COLUMNS_OF_TABLE = 16
_EXAMPLE_S = 0.5
_FENCE = re.compile(r"```[a-zA-Z]*\s*(?P<query>.*?)```", re.DOTALL)


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
        self._database = Database(paths)
        self.description = (
            "Look up, count or add up what these tables hold, with one SQLite SELECT: "
            + describe_tables(self._database.tables, _MOST_DESCRIBED_CHARS)
        )
        self.examples = tuple(self._examples())

    @property
    def tables(self) -> tuple[Table, ...]:
        """What can be asked."""
        return self._database.tables

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to query the tables that the question mentions, for what it says of them."""
        mentions = find_mentions(self._database, question, results)
        if not mentions:
            return None
        pattern = query_pattern(mentions, question, results)
        return object_schema(query=pattern_schema("", pattern))

    def run(self, arguments: Mapping[str, object]) -> ToolResult:
        """Return the rows that answer `query`, with the files that they come from.

        Raises:
            ToolError: The query is wrong, takes too long or does more than read.
        """
        query = string_argument(arguments, "query")
        if match := _FENCE.search(query):
            query = match["query"].strip()
        try:
            rows = self._database.query(query, most=MAX_SHOWN_ROWS, time_s=QUERY_S)
        except ToolError as error:
            raise ToolError(self._told(str(error))) from error
        return ToolResult(show_rows(rows), rows.sources)

    def close(self) -> None:
        """Free the tables."""
        self._database.close()

    def _examples(self) -> Iterator[Example]:
        """Ask the first table what everybody could, so that examples show what is really there."""
        table = self.tables[0]
        name = table.name.strip('"')
        yield from self._example(
            f"How many rows does {name} have?", f"SELECT COUNT(*) FROM {table.name}", "It has {}."
        )
        texts = [column.name for column in table.columns if not column.label]
        numbers = [c.name for c in table.columns if c.label == "number" and c.name != "id"]
        if texts and numbers:
            text, number = texts[0].strip('"'), numbers[0].strip('"')
            yield from self._example(
                f"Which {text} of {name} has the highest {number}?",
                f"SELECT {texts[0]} FROM {table.name} ORDER BY {numbers[0]} DESC LIMIT 1",
                "{}.",
            )

    def _example(self, question: str, query: str, answer: str) -> Iterator[Example]:
        try:
            rows = self._database.query(query, most=1, time_s=_EXAMPLE_S)
        except ToolError:
            return
        if rows.rows:
            calls = (Call(self.name, {"query": query}),)
            turns = Turn(calls=calls), Turn(answer=answer.format(show_value(rows.rows[0][0])))
            yield Example(question, turns, (show_rows(rows),))

    def _told(self, message: str) -> str:
        """Return an error with what the model could have meant."""
        if match := re.match(r"no such table: (.*)", message):
            names = [table.name for table in self.tables]
            near = difflib.get_close_matches(match[1], names, n=1, cutoff=0.6)
            meant = f"; did you mean {near[0]}?" if near else ""
            return f"{message}; the tables are {_listed(names)}{meant}"
        if match := re.match(r"(?:no such|ambiguous) column(?: name)?: (.*)", message):
            names = [column.name for table in self.tables for column in table.columns]
            near = difflib.get_close_matches(match[1], names, n=1, cutoff=0.6)
            meant = f"; did you mean {near[0]}?" if near else ""
            tables = describe_tables(self.tables, _MOST_DESCRIBED_CHARS // 2)
            return f"{message}; the columns are {tables}{meant}"
        return message


def describe_tables(tables: Sequence[Table], most_chars: int) -> str:
    """Return names and columns of the tables, as many as fit."""
    parts: list[str] = []
    left = most_chars
    for position, table in enumerate(tables):
        columns = [
            column.name if column.label in column.name else f"{column.name} {column.label}"
            for column in table.columns[:_MOST_COLUMNS_OF_TABLE]
        ]
        further = len(table.columns) - len(columns)
        columns += [f"{further} more"] if further else []
        text = f"{table.name}({', '.join(columns)})"
        if len(text) > left:
            text = table.name
        if len(text) > left:
            parts.append(f"{len(tables) - position} more tables")
            break
        parts.append(text)
        left -= len(text) + 2
    return ", ".join(parts)


def show_rows(rows: Rows) -> str:
    """Return rows as text: one cell or row with its columns' names, more as lines under a head."""
    if not rows.rows:
        return "no row matches"
    if len(rows.rows) == 1 and not rows.more:
        pairs = zip(rows.columns, rows.rows[0], strict=True)
        line = ", ".join(f"{column}: {show_value(value)}" for column, value in pairs)
        return line if len(line) <= MAX_SHOWN_CHARS else line[:MAX_SHOWN_CHARS] + " …"
    lines = [" | ".join(rows.columns)[:MAX_SHOWN_CHARS]]
    left = MAX_SHOWN_CHARS - len(lines[0])
    for row in rows.rows:
        line = " | ".join(map(show_value, row))
        if len(line) > left:
            break
        lines.append(line)
        left -= len(line) + 1
    hidden = len(rows.rows) - (len(lines) - 1) + rows.more
    if hidden:
        lines.append(f"and {hidden:,} more rows")
    return "\n".join(lines)


def show_value(value: object) -> str:
    """Return a cell as text on one line."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        # Fifteen digits are what a double holds for certain: 0.1 + 0.2 is 0.3.
        return f"{value:.15g}"
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_CELL_CHARS else text[:MAX_CELL_CHARS] + "…"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"
