"""The queries that make sense for a question, as a regular expression.

Very small models cannot be left alone with SQL. They choose between the tables, columns, values
and numbers that were said, in the form that nearly all questions to one table have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgeagent.agent.tools.calculator import operands
from edgeagent.agent.tools.sql.mentions import Mention
from edgeagent.agent.tools.sql.tables import Column

MAX_TABLES = 2
MAX_COLUMNS = 12
_MAX_NUMBERS = 4
_DATE = re.compile(r"\b\d{4}-\d{2}(?:-\d{2})?\b")


def query_pattern(mentions: Sequence[Mention], said: str) -> str:
    """Return the regular expression of the queries about what is mentioned.

    Args:
        mentions: Tables, the most mentioned first.
        said: The question and what tools answered; its numbers may be compared with.
    """
    numbers = [n for n in dict.fromkeys(operands(said)) if not n.endswith("%")][:_MAX_NUMBERS]
    dates = list(dict.fromkeys(_DATE.findall(said)))[:_MAX_NUMBERS]
    best = max(mention.weight for mention in mentions)
    chosen = [mention for mention in mentions if 2 * mention.weight > best][:MAX_TABLES]
    return _any(_about(mention, numbers, dates) for mention in chosen)


def _about(mention: Mention, numbers: Sequence[str], dates: Sequence[str]) -> str:
    columns = _columns(mention)
    names = _any(_literal(column.name) for column in columns)
    sums = _any(_literal(column.name) for column in columns if column.label in _COUNTABLE)
    sorted_by = _any(_literal(column.name) for column in columns if column.label)
    results = [r"COUNT\(\*\)", rf"COUNT\(DISTINCT {names}\)"]
    if sums:
        results.append(rf"(SUM|AVG)\({sums}\)")
    if sorted_by:
        results.append(rf"(MIN|MAX)\({sorted_by}\)")
    result = _any(results)
    where = _where(mention, columns, numbers, dates)
    limit = f"( LIMIT {_any(dict.fromkeys(['1', '3', '5', '10', *_whole(numbers)]))})?"
    order = f"( ORDER BY {sorted_by or names}( DESC)?{limit})?"
    source = f"FROM {_literal(mention.table.name)}{where}"
    return _any(
        [
            f"SELECT {result} {source}",
            f"SELECT {names}(, {names}){{0,2}} {source}{order}",
            f"SELECT {names}, {result} {source} GROUP BY 1( ORDER BY 2( DESC)?{limit})?",
        ]
    )


_COUNTABLE = ("number", "percent")


def _columns(mention: Mention) -> list[Column]:
    """Return the table's columns; of many, those that are said and then the first."""
    said = {column.name for column in mention.columns}
    said |= {column.name for column, _ in mention.values}
    chosen = sorted(mention.table.columns, key=lambda column: column.name not in said)
    kept = {column.name for column in chosen[:MAX_COLUMNS]}
    return [column for column in mention.table.columns if column.name in kept]


def _where(
    mention: Mention, columns: Sequence[Column], numbers: Sequence[str], dates: Sequence[str]
) -> str:
    """Return what may be asked for; if values of the table are said, they have to be used."""
    equal = [f"{_literal(c.name)} = {_literal(_text(value))}" for c, value in mention.values]
    compared = [
        f"{_literal(column.name)} (=|<|>|<=|>=) {_any(map(re.escape, numbers))}"
        for column in columns
        if column.label in _COUNTABLE and numbers
    ]
    compared += [
        f"{_literal(column.name)} (LIKE '{_any(dates)}%'|(<|>|<=|>=) '{_any(dates)}')"
        for column in columns
        if column.label == "date" and dates
    ]
    if not equal and not compared:
        return ""
    further = _any([*(equal if len(equal) > 1 else ()), *compared])
    also = f"( AND {further})?" if further else ""
    return f" WHERE {_any(equal)}{also}" if equal else f"( WHERE {further}{also})?"


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def _whole(numbers: Iterable[str]) -> list[str]:
    return [number for number in numbers if number.isdecimal() and 1 < int(number) <= 50]


def _literal(text: str) -> str:
    # A space is escaped by Python's function, which not every engine of grammars reads.
    return re.escape(text).replace("\\ ", " ")


def _any(patterns: Iterable[str]) -> str:
    """Return the alternatives, empty if there are none."""
    found = list(patterns)
    return f"({'|'.join(found)})" if found else ""
