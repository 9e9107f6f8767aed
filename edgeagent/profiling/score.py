"""Deterministic checkers: did an answer solve its task?

No model judges another here. Both rules look at the answer's text alone, so a run file can be
scored again and gives the same result on every machine.

**Number rule.** The last number of the answer that the question does not state must equal the
expected one. Numbers repeated from the question ("96.60 for 14 tickets") are skipped, unless the
expected number is itself in the question; then simply the last number counts. What is read as a
number is defined in `edgeagent.profiling.numbers`; an answer without any digit may spell it.

**Match rule.** Answer and phrases are normalized: NFKC, case folded, apostrophes dropped, other
punctuation a word boundary, `a`, `an` and `the` dropped. One expected phrase must stand in the
answer as whole words, no forbidden phrase may, and the answer must not exceed the word limit.
"""

from __future__ import annotations

import math
import re
import unicodedata

from edgeagent.config.suite import MatchCheck, NumberCheck, TaskSpec
from edgeagent.profiling.numbers import numbers_in, spelled_numbers_in
from edgeagent.record.outcome import Outcome, StepKind

_ABS_TOL = 1e-9
"""Lets an expected zero be met; far below any answer's precision."""

_WORD = re.compile(r"[0-9]+(?:[.:][0-9]+)*|[^\W\d_]+|\d+")
_APOSTROPHES = re.compile("['`\u00b4\u02bc\u2018\u2019]")
_DIGIT_GROUPING = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_ARTICLES = frozenset({"a", "an", "the"})


def score(task: TaskSpec, outcome: Outcome) -> bool:
    """Return whether an outcome solves a task; a pure function that never raises.

    A task with `forbid_tools` is unsolved as soon as any agent of the paradigm called a tool,
    whatever the answer says. Routing to a specialist is not itself a call.
    """
    if task.forbid_tools and any(step.kind is StepKind.CALL for step in outcome.steps):
        return False
    if isinstance(task.check, NumberCheck):
        return number_solved(task.check, task.question, outcome.answer)
    return match_solved(task.check, outcome.answer)


def number_solved(check: NumberCheck, question: str, answer: str) -> bool:
    """Apply the number rule (see the module) to one answer."""

    def is_expected(value: float) -> bool:
        return math.isclose(value, check.value, rel_tol=check.rel_tol, abs_tol=_ABS_TOL)

    stated = numbers_in(question) + spelled_numbers_in(question)
    found = numbers_in(answer) or spelled_numbers_in(answer)
    if not any(map(is_expected, stated)):
        found = [value for value in found if value not in stated]
    return bool(found) and is_expected(found[-1])


def match_solved(check: MatchCheck, answer: str) -> bool:
    """Apply the match rule (see the module) to one answer."""
    words = normalized_words(answer)
    if check.max_words is not None and len(words) > check.max_words:
        return False
    text = f" {' '.join(words)} "

    def contains(phrase: str) -> bool:
        wanted = " ".join(normalized_words(phrase))
        return bool(wanted) and f" {wanted} " in text

    return any(map(contains, check.any_of)) and not any(map(contains, check.none_of))


def normalized_words(text: str) -> list[str]:
    """Split a text into the words that the match rule compares.

    Digits and letters are separate words (`B7` equals `b 7`); a time or a decimal is one word.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = _DIGIT_GROUPING.sub("", _APOSTROPHES.sub("", folded))
    return [word for word in _WORD.findall(folded) if word not in _ARTICLES]
