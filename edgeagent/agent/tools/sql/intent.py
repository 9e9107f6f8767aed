"""What a question asks to be done with rows: count, add up, average, find the most or the least."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COUNT = re.compile(r"\bhow many\b|\bnumber of\b|\bcount\w*", re.IGNORECASE)
_SUM = re.compile(r"\b(total\w*|sum|altogether|overall|in all|combined)\b", re.IGNORECASE)
_AVERAGE = re.compile(r"\b(average\w*|mean|on average|typical\w*)\b", re.IGNORECASE)
_MOST = re.compile(
    r"\b(most|highest|largest|biggest|greatest|maximum|max|best|top|latest|newest|last|longest|"
    r"heaviest|tallest|dearest)\b",
    re.IGNORECASE,
)
_LEAST = re.compile(
    r"\b(least|lowest|smallest|minimum|min|worst|fewest|cheapest|earliest|first|shortest|"
    r"lightest)\b",
    re.IGNORECASE,
)
_GROUP = re.compile(r"\b(each|every|per|by)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to be done with rows; all false if the question does not say.

    Attributes:
        count: Count them.
        sum: Add up a column.
        average: Average a column.
        most: Find the largest.
        least: Find the smallest.
        group: For each value of a column.
    """

    count: bool
    sum: bool
    average: bool
    most: bool
    least: bool
    group: bool

    @property
    def folds(self) -> bool:
        """Whether many rows become one number."""
        return self.count or self.sum or self.average

    @property
    def ranks(self) -> bool:
        """Whether the first of an order is asked for."""
        return self.most or self.least


def read_intent(question: str, known_words: set[str]) -> Intent:
    """Return what a question asks to be done.

    Args:
        question: The question.
        known_words: Words of columns' names, lower case: an order's total is none to compute.
    """
    text = re.sub(r"\w+", lambda word: "" if word[0].lower() in known_words else word[0], question)
    return Intent(
        *(bool(pattern.search(text)) for pattern in (_COUNT, _SUM, _AVERAGE, _MOST, _LEAST, _GROUP))
    )
