"""A row of a table with one cell per paradigm."""

from __future__ import annotations

from dataclasses import dataclass

NONE = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of all paradigms.

    Attributes:
        label: What it is, with the unit where cells have none.
        cells: One text per paradigm.
        starts_section: Whether renderers may draw a line above.
    """

    label: str
    cells: tuple[str, ...]
    starts_section: bool = False
