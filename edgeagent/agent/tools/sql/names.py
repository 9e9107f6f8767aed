"""Names of tables and columns that need no quotes in SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_CHARS = 40

_RESERVED = frozenset(
    """
    add all alter and as autoincrement between case check collate commit constraint create cross
    current_date current_time current_timestamp default deferrable delete distinct drop else escape
    except exists foreign from full group having if in index indexed inner insert intersect into is
    isnull join left limit natural not notnull null on or order outer primary references right
    rowid select set table then to transaction union unique update using values when where
    """.split()  # noqa: SIM905 - a list of seventy quoted words is harder to read
)
"""Keywords of SQLite that cannot stand for a column (sqlite.org/lang_keywords.html)."""

_PLAIN = re.compile(r"[^\W\d]\w*")


def clean_names(texts: Iterable[str], stem: str) -> tuple[str, ...]:
    """Return a different plain name for each text, in order.

    Args:
        texts: What people wrote above columns, or names of files.
        stem: What to call those that have no letters or digits, before their number.
    """
    found: list[str] = []
    for position, text in enumerate(texts, start=1):
        name = re.sub(r"\W+", "_", text).strip("_").lower()[:_MAX_CHARS] or f"{stem}_{position}"
        if name[0].isdigit():
            name = f"_{name}"
        if name in _RESERVED:
            name = f"{name}_"
        found.append(_different(name, found))
    return tuple(found)


def quoted(name: str) -> str:
    """Return a name as SQL needs it: as it is if that is possible, else in double quotes."""
    if _PLAIN.fullmatch(name) and name.lower() not in _RESERVED:
        return name
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _different(name: str, taken: list[str]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
