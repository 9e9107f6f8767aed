"""Names and texts from outside, as they may be shown: to a model, in a terminal, in a report."""

from __future__ import annotations

import sys
import unicodedata

_KEPT = "\n\t"
_REORDERING = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that make a reader see another order of characters than a program."""

_TAGS = range(0xE0000, 0xE0080)
"""Invisible copies of ASCII: text that models read and people do not see."""

_REPLACED: dict[int, str | None] = {
    **{
        code: None
        for code in range(0xA0)
        if unicodedata.category(chr(code)) == "Cc" and chr(code) not in _KEPT
    },
    **dict.fromkeys(map(ord, _REORDERING)),
    **dict.fromkeys(_TAGS),
    0x2028: "\n",
    0x2029: "\n",
    # Halves of a character: a name or a text that is not Unicode. No encoder takes them.
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}
_BRACKETS = str.maketrans("[]", "()")


def printable(text: str) -> str:
    """Return the text without what steers a terminal, hides from a reader or reorders.

    Escape sequences lose the character that makes them one. Line ends and tabs stay.
    """
    return text.translate(_REPLACED)


def one_line(text: str, max_chars: int = 200) -> str:
    """Return a name or title on one line, so that it cannot end the line that shows it.

    Tools write names in square brackets; so a name has none of its own and cannot end them.
    """
    line = " ".join(printable(text).split()).translate(_BRACKETS)
    return line if len(line) <= max_chars else f"{line[: max_chars - 1].rstrip()}…"


def is_plain_name(name: str) -> bool:
    """Whether a file's name can be shown and written as it is."""
    return one_line(name, sys.maxsize) == name
