"""The queries that make sense for a question, as a regular expression.

Very small models cannot be left alone with SQL. They choose between the tables, columns, values
and numbers that were said, in the form that nearly all questions to one table have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgeagent.agent.tools.calculator import operands
from edgeagent.agent.tools.sql.intent import Intent, read_intent
from edgeagent.agent.tools.sql.mentions import Mention
from edgeagent.agent.tools.sql.tables import Column

MAX_TABLES = 2
MAX_COLUMNS = 12
_MAX_NUMBERS = 4
_DATE = re.compile(r"\b\d{4}-\d{2}(?:-\d{2})?\b")


def query_pattern(mentions: Sequence[Mention], question: str, results: Sequence[str]) -> str:
    """Return the regular expression of the queries about what is mentioned.

    Args:
        mentions: Tables, the most mentioned first.
        question: What was asked; it says what to do with the rows.
        results: What tools answered; what is compared with may come from there too.
    """
    said = " . ".join((question, *results))
    numbers = [n for n in dict.fromkeys(operands(said)) if not n.endswith("%")][:_MAX_NUMBERS]
    dates = list(dict.fromkeys(_DATE.findall(said)))[:_MAX_NUMBERS]
    best = max(mention.weight for mention in mentions)
    chosen = [mention for mention in mentions if 2 * mention.weight > best][:MAX_TABLES]
    return _any(_about(mention, question, numbers, dates) for mention in chosen)


def _about(mention: Mention, question: str, numbers: Sequence[str], dates: Sequence[str]) -> str:
    """Return the queries to one table."""
    columns = _columns(mention)
    words = {word for column in mention.columns for word in column.name.lower().split("_")}
    intent = read_intent(question, words)
    counted = _said_or_all(mention, columns, _COUNTABLE)
    ordered = _said_or_all(mention, columns, (*_COUNTABLE, "date"))
    source = f"FROM {_literal(mention.table.name)}{_where(mention, columns, numbers, dates)}"
    named = [column for column in mention.columns if not column.label]
    shown = _names(mention.columns or columns)
    folds = _folds(intent, counted)
    limit = f" LIMIT {_any(dict.fromkeys(['1', *_whole(numbers)]))}" if intent.ranks else ""
    if intent.ranks and named and (intent.folds or not ordered):
        fold = folds or r"COUNT\(\*\)"
        order = f" ORDER BY 2{_direction(intent)}{limit}"
        return f"SELECT {_names(named)}, {fold} {source} GROUP BY 1{order}"
    if intent.ranks and ordered:
        order = f" ORDER BY {_names(ordered)}{_direction(intent)}{limit}"
        rows = f"SELECT {_names(named) or shown}(, {_names(columns)})? {source}{order}"
        extreme = rf"SELECT {_extreme(intent)}\({_names(ordered)}\) {source}"
        return rows if named else _any([rows, extreme])
    if intent.folds:
        shapes = [f"SELECT {folds} {source}"]
        if intent.group:
            shapes.append(f"SELECT {_names(named or columns)}, {folds} {source} GROUP BY 1")
        elif intent.count and any(column in counted for column in mention.columns):
            # How many people live there may be in a column.
            shapes.append(f"SELECT {_names(counted)} {source}")
        return _any(shapes)
    order = f"( ORDER BY {_names(ordered or columns)}( DESC)?( LIMIT {_any(_FIRST)})?)?"
    every = [r"COUNT\(\*\)"]
    if counted:
        every.append(rf"(SUM|AVG)\({_names(counted)}\)")
    if ordered:
        every.append(rf"(MIN|MAX)\({_names(ordered)}\)")
    return _any(
        [
            f"SELECT {shown}(, {_names(columns)}){{0,2}} {source}{order}",
            f"SELECT {_any(every)} {source}",
            f"SELECT {_names(columns)}, {_any(every)} {source} GROUP BY 1",
        ]
    )


_COUNTABLE = ("number", "percent")
_FIRST = ("1", "3", "5", "10")


def _folds(intent: Intent, counted: Sequence[Column]) -> str:
    """Return the functions that make one number of many rows, as far as they are asked for."""
    found = [r"COUNT\(\*\)"] if intent.count or not counted else []
    if counted:
        found += [rf"SUM\({_names(counted)}\)"] if intent.sum else []
        found += [rf"AVG\({_names(counted)}\)"] if intent.average else []
    return _any(found)


def _direction(intent: Intent) -> str:
    if intent.most and intent.least:
        return "( DESC)?"
    return " DESC" if intent.most else ""


def _extreme(intent: Intent) -> str:
    return _any([*(["MAX"] if intent.most else []), *(["MIN"] if intent.least else [])])


def _said_or_all(
    mention: Mention, columns: Sequence[Column], labels: Sequence[str]
) -> list[Column]:
    """Return the columns of such a kind that are said, all of that kind if none is."""
    said = [column for column in mention.columns if column.label in labels]
    return said or [column for column in columns if column.label in labels]


def _names(columns: Iterable[Column]) -> str:
    return _any(_literal(column.name) for column in columns)


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
