"""Tables, and what a query finds in them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: As SQL needs it.
        label: `number`, `percent` or `date`; empty for text and whatever is not known.
    """

    name: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view.

    Attributes:
        name: As SQL needs it.
        columns: Its columns.
        source: Name of the file.
        rows: Number of rows, `None` if counting them took too long.
    """

    name: str
    columns: tuple[Column, ...]
    source: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query found.

    Attributes:
        columns: Names, as the query calls them.
        rows: The first ones.
        more: Number of further rows, up to `COUNTED_ROWS`.
        sources: Names of the files that were read.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    more: int
    sources: tuple[str, ...]
