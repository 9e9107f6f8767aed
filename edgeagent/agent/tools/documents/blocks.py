"""What a reader makes of a document: its paragraphs and headings in order."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.errors import ToolError

MAX_CHARS = 8 << 20
"""Characters of one document; the longest novels have a third of that."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that is never torn apart without need.

    Attributes:
        text: On one line.
        is_heading: Whether it names what follows.
        page: Page that it stands on, counted from 1; `None` where a format has no pages.
    """

    text: str
    is_heading: bool = False
    page: int | None = None


class PartlyReadError(ToolError):
    """Raised behind the last block of a document: something in it could not be read."""
