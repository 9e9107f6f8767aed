"""What agents of models too small to be relied on may say: what was asked, or what was found.

See `Budget.grounding`. Such a model answers from its head although a tool has work, repeats the
question, or reads a figure into a text that has none. Each of these shows in the words alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from edgeagent.agent.chat.orders import gives_orders
from edgeagent.agent.honesty import figures, words
from edgeagent.agent.tools.documents.words import STOP_WORDS
from edgeagent.agent.tools.sentences import sentences

_BROKEN = re.compile("\\S\u200b")
"""Where a control token was broken: see `chat.untrusted`."""

_REL_TOL = 5e-3
"""Rounding a result is no other figure."""

_ASKS_FOR_FIGURE = re.compile(
    r"\bhow (?:many|much)\b|\b(?:which|what) (?:year|time)\b", re.IGNORECASE
)
_FILLERS = STOP_WORDS | {"also", "called", "goes", "not", "yes"}
"""Words that state nothing."""


def unstated(text: str, sources: Sequence[str]) -> bool:
    """Whether a text states a number or uses a word of content that none of the sources has."""
    known = set[str]().union(*map(words, sources))
    return bool(unstated_figures(text, sources) or words(text) - known - _FILLERS)


def unstated_figures(text: str, sources: Sequence[str]) -> set[float]:
    """Return the numbers of a text that no source has, rounding and percentages allowed for."""
    stated = set[float]().union(*map(figures, sources))

    def is_stated(value: float) -> bool:
        return any(
            math.isclose(value, other * factor, rel_tol=_REL_TOL)
            for other in stated
            for factor in (1, 100, 0.01)
        )

    return {value for value in figures(text) if not is_stated(value)}


def says_nothing(answer: str, question: str) -> bool:
    """Whether an answer has no number and no word that the question has not."""
    new = words(answer) - words(question) - _FILLERS
    return not new and not figures(answer) - figures(question)


def is_empty(answer: str, question: str) -> bool:
    """Whether an answer only repeats words of the question; one of its numbers is an answer."""
    return says_nothing(answer, question) and not figures(answer)


def lacks_figure(question: str, results: Sequence[str]) -> bool:
    """Whether a question asks for a number and none of the results has any."""
    asks = _ASKS_FOR_FIGURE.search(question) is not None
    return asks and not any(map(figures, results))


def best_sentence(result: str, question: str) -> str:
    """Return the sentence of a result that shares most words with the question, the first of them.

    Empty if there is no sentence.
    """
    asked = words(question)
    return max(quotable(result), key=lambda part: len(asked & words(part)), default="")


def quotable(result: str) -> tuple[str, ...]:
    """Return the sentences of a result that may be quoted: not those that give orders.

    If all of them do, they are what there is.
    """
    every = sentences(result)
    return tuple(part for part in every if not gives_orders(part)) or every


def before_forged_turn(text: str) -> str:
    """Return a harmless text up to its first broken control token, all of it if nothing is left.

    A document that writes out the end of a turn goes on in another voice, and a small model follows
    whoever spoke last.
    """
    found = _BROKEN.search(text)
    start = text[: found.start()].strip() if found else ""
    return start or text
