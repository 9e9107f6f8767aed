"""The rule for refusals: the answer says that there is none, and makes no figure up.

It must have one of the phrases below or of the check's own, none of its forbidden ones, and no
number that the question does not state. `zero` and `one` in words are not counted as numbers: they
stand in "division by zero" and "no one".
"""

from __future__ import annotations

from edgeagent.agent.numbers import numbers_in, spelled_numbers_in
from edgeagent.config.checks import RefusesCheck
from edgeagent.profiling.checks.phrases import has_phrase, normalized_words

_PHRASES = (
    *("cannot", "can not", "cant", "could not", "couldnt", "unable", "impossible", "not possible"),
    *("do not know", "dont know", "not know", "unknown", "not known", "not sure", "no idea"),
    *("not found", "no document", "no information", "no data", "no such", "no answer"),
    *("not find", "found nothing", "nothing about", "does not say", "doesnt say", "do not say"),
    *("not mentioned", "not stated", "does not mention", "does not state", "not listed"),
    *("does not exist", "doesnt exist", "not available", "not defined", "undefined", "failed"),
)
_PRONOUNS = (0.0, 1.0)


def refuses_solved(check: RefusesCheck, question: str, answer: str) -> bool:
    """Apply the rule (see the module) to one answer."""
    words = normalized_words(answer)
    stated = {*numbers_in(question), *spelled_numbers_in(question)}
    spelled = [number for number in spelled_numbers_in(answer) if number not in _PRONOUNS]
    made_up = {*numbers_in(answer), *spelled} - stated
    return (
        has_phrase(words, (*_PHRASES, *check.any_of))
        and not has_phrase(words, check.none_of)
        and not made_up
    )
