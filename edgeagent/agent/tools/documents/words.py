"""Words: which of a question say what it is about, and which sentences answer it."""

from __future__ import annotations

import re

from edgeagent.agent.tools.sentences import sentences

WORD = re.compile(r"\w+")
_STEM_CHARS = 5
STOP_WORDS = frozenset(
    """
    a about am an and any are as at be been but by can could did do does for from had has have
    how i if in into is it its many me much my of on one or our please s shall she should so tell
    than that the their them there these they this to us was we were what when where which who
    whom whose why will with would you your
    """.split()  # noqa: SIM905 - a list of forty quoted words is harder to read
)


def content_words(text: str) -> tuple[str, ...]:
    """Return the different words of a text, lower case, without those that every text has."""
    words = WORD.findall(text.lower())
    return tuple(dict.fromkeys(word for word in words if word not in STOP_WORDS))


def best_sentences(text: str, title: str, query: str, limit: int) -> str:
    """Return the sentences of a passage that share most with the query, in their order.

    The less a very small model reads, the more likely it answers with the right sentence. Words of
    the title say what the whole passage is about and so do not count. Words are the same if they
    begin alike, which takes `costs` for `cost`.
    """
    parts = sentences(text)
    wanted = _stems(query) - _stems(title)
    shared = [len(wanted & _stems(part)) for part in parts]
    best = [part for part, count in zip(parts, shared, strict=True) if count == max(shared)]
    return " ".join(best[:limit])


def _stems(text: str) -> set[str]:
    return {word[:_STEM_CHARS] for word in content_words(text)}
