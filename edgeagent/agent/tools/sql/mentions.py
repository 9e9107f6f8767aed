"""What of the tables a text mentions: their names, their columns, values that are in them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.agent.tools.documents.words import content_words
from edgeagent.agent.tools.sql.database import Database
from edgeagent.agent.tools.sql.tables import Column, Table
from edgeagent.errors import ToolError

MAX_SEARCHED_ROWS = 200_000
"""Larger tables are not searched for values; that would take longer than a model's answer."""

_SEARCH_S = 0.5
_MOST_VALUES = 8
_MOST_PHRASE_WORDS = 4
_MOST_PHRASES = 200
_WORD = re.compile(r"\w+")
_MANY_MEAN_IT = frozenset(
    "id key name date day time type kind value number no code status description title".split()  # noqa: SIM905
)
"""Columns that every table has; a question with such a word need not be about this one."""


@dataclass(frozen=True, slots=True)
class Mention:
    """What of one table a text mentions.

    Attributes:
        table: The table.
        is_named: Whether its name is said.
        columns: Columns that are said, in the table's order.
        values: Values in it that are said, each with its column.
    """

    table: Table
    is_named: bool
    columns: tuple[Column, ...]
    values: tuple[tuple[Column, str], ...]

    @property
    def weight(self) -> int:
        """How much is said of the table."""
        telling = [c for c in self.columns if not _MANY_MEAN_IT.issuperset(_words(c.name))]
        return 2 * self.is_named + 2 * bool(self.values) + len(telling)


def find_mentions(database: Database, question: str, results: Sequence[str]) -> tuple[Mention, ...]:
    """Return the tables that a question is about, the most mentioned first.

    Args:
        database: The tables.
        question: What was asked; only it can say which table is meant.
        results: What tools answered so far; their values may be looked up too.
    """
    asked = {_stem(word) for word in content_words(question)}
    phrases = _phrases(" . ".join((question, *results)))
    found = []
    until_s = time.monotonic() + _SEARCH_S
    for table in database.tables:
        columns = tuple(column for column in table.columns if _is_said(column.name, asked))
        name = table.name.rpartition(".")[2]
        values = _values(database, table, phrases, until_s)
        found.append(Mention(table, _is_said(name, asked), columns, values))
    return tuple(sorted((m for m in found if m.weight), key=lambda m: m.weight, reverse=True))


def _is_said(name: str, asked: set[str]) -> bool:
    words = _words(name)
    return bool(words) and all(_stem(word) in asked for word in words)


def _words(name: str) -> set[str]:
    return set(content_words(name.replace("_", " ").lower()))


def _stem(word: str) -> str:
    """Return a word without its plural."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _phrases(text: str) -> tuple[str, ...]:
    """Return the runs of words that could be a value, as they are written."""
    words = list(_WORD.finditer(text))
    found: dict[str, None] = {}
    for size in range(_MOST_PHRASE_WORDS, 0, -1):
        for first, last in zip(words, words[size - 1 :], strict=False):
            phrase = text[first.start() : last.end()]
            if content_words(phrase) and len(phrase) > 1 and not phrase.isdecimal():
                found[phrase] = None
    return tuple(found)[:_MOST_PHRASES]


def _values(
    database: Database, table: Table, phrases: Sequence[str], until_s: float
) -> tuple[tuple[Column, str], ...]:
    """Return the texts of a table that are among the phrases, whatever their case."""
    if not phrases or table.rows is None or table.rows > MAX_SEARCHED_ROWS:
        return ()
    marks = ", ".join("?" * len(phrases))
    found: list[tuple[Column, str]] = []
    for column in (column for column in table.columns if not column.label):
        query = (
            f"SELECT DISTINCT {column.name} FROM {table.name} "
            f"WHERE {column.name} COLLATE NOCASE IN ({marks})"
        )
        left_s = until_s - time.monotonic()
        try:
            rows = database.query(query, phrases, most=_MOST_VALUES, time_s=left_s).rows
        except ToolError:
            continue  # too slow or damaged: then nothing is known of its values
        found += [(column, text) for (text,) in rows if isinstance(text, str)]
    return tuple(found[:_MOST_VALUES])
