"""Sentences of a text: what a search shows of a passage, and what an agent may quote."""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_TITLE = re.compile(r"\[[^\]\n]*\] ")


def sentences(text: str) -> tuple[str, ...]:
    """Return the sentences of a text in order, without the titles of passages before them."""
    parts = (_TITLE.sub("", part, count=1).strip() for part in _END.split(text))
    return tuple(dict.fromkeys(part for part in parts if part))
