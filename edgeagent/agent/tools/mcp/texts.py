"""Names and descriptions that servers give, made safe to stand in a prompt."""

from __future__ import annotations

import re
import unicodedata

MAX_DESCRIPTION_CHARS = 400
MAX_NAME_CHARS = 48

_MARKUP = re.compile(r"<[^<>\s][^<>]{0,80}>|\[/?[A-Z_]{2,20}\]|<\||\|>")
"""What chat templates write around turns: `<|im_end|>`, `<start_of_turn>`, `</s>`, `[INST]`."""

_SENTENCE = re.compile(r"(?<=[.!?])\s")


def plain_name(name: str) -> str:
    """Return a name of ASCII letters, digits and `_` that begins with a letter, or nothing."""
    text = unicodedata.normalize("NFKC", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", text).lstrip("_0123456789").rstrip("_")[:MAX_NAME_CHARS]


def plain_text(text: str, max_chars: int = MAX_DESCRIPTION_CHARS) -> str:
    """Return a text on one line, without markup of chats and invisible characters, cut to a length.

    It is cut at the end of a sentence if there is one, else of a word.
    """
    text = unicodedata.normalize("NFKC", text[: 20 * max_chars])
    text = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    while (without := _MARKUP.sub(" ", text)) != text:  # what is taken out may join what is left
        text = without
    return shorten(" ".join(text.split()), max_chars)


def shorten(text: str, max_chars: int) -> str:
    """Return the sentences of a line that fit, or else as many of its words as do."""
    if len(text) <= max_chars:
        return text
    ends = [match.start() for match in _SENTENCE.finditer(text) if match.start() <= max_chars]
    if ends:
        return text[: ends[-1]]
    return text[: max_chars + 1].rsplit(" ", 1)[0][:max_chars].rstrip(" ,;:")
