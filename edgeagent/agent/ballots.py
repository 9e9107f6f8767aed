"""Which answers count as the same, and which of them has the most votes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Hashable, Mapping

from edgeagent.agent.numbers import numbers_in

_WORD = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})


def ballot(answer: str, question: str) -> Hashable:
    """Return what an answer in words votes for.

    An answer that states one number, or one that the question does not, is that number: `1,856`
    and `They cost 1856 crowns.` agree. Other answers agree if they have the same words, whatever
    the case and punctuation, without articles.
    """
    numbers = set(numbers_in(answer))
    if len(numbers) > 1:
        numbers -= set(numbers_in(question))
    if len(numbers) == 1:
        return ("number", round(numbers.pop(), 9))
    words = tuple(_WORD.findall(answer.casefold()))
    return ("text", tuple(word for word in words if word not in _ARTICLES) or words)


def calls_ballot(answer: str, question: str) -> Hashable:
    """Return what an answer of calls votes for: the set of them, numbers equal as numbers.

    Args:
        answer: Calls as JSON, one a line, or words, which vote as in `ballot`.
        question: What was asked.
    """
    try:
        calls = [json.loads(line) for line in answer.splitlines()]
    except (ValueError, RecursionError):
        return ballot(answer, question)
    if not calls or not all(isinstance(call, dict) for call in calls):
        return ballot(answer, question)
    return ("calls", frozenset(_frozen(call) for call in calls))


def _frozen(value: object) -> Hashable:
    if isinstance(value, dict):
        return ("object", frozenset((key, _frozen(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(_frozen, value)))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53:
        return float(value)
    # `True == 1` in Python, and a text is not the number that it spells.
    return value if isinstance(value, float) else (type(value).__name__, value)


def elected(ballots: Mapping[int, Hashable]) -> int:
    """Return the first voter of the ballot that most voted for; ties go to the first voter."""
    counts = _counts(ballots)
    return min(ballots, key=lambda voter: (-counts[ballots[voter]], voter))


def is_decided(ballots: Mapping[int, Hashable], undecided: Collection[int]) -> bool:
    """Whether votes that are still to come cannot change who is elected."""
    if not ballots:
        return not undecided
    counts = _counts(ballots)
    winner = ballots[elected(ballots)]
    first: dict[Hashable, int] = {}
    for voter in sorted(ballots):
        first.setdefault(ballots[voter], voter)
    # At worst all others vote alike: for another ballot that was cast, or for a new one.
    rivals = [(counts[one], first[one]) for one in counts if one != winner]
    rivals.append((0, max((*ballots, *undecided)) + 1))
    return not any(
        (-(votes + len(undecided)), min((voter, *undecided))) < (-counts[winner], first[winner])
        for votes, voter in rivals
    )


def _counts(ballots: Mapping[int, Hashable]) -> dict[Hashable, int]:
    counts: dict[Hashable, int] = {}
    for one in ballots.values():
        counts[one] = counts.get(one, 0) + 1
    return counts
