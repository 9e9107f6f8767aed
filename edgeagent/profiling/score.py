"""Deterministic checkers: did an answer solve its task?

No model judges another here. Both rules look at the answer's text alone, so a run file can be
scored again and gives the same result on every machine.

**Number rule.** The last number of the answer that the question does not state must equal the
expected one. Numbers repeated from the question ("96.60 for 14 tickets") are skipped, unless the
expected number is itself in the question; then simply the last number counts.

- Read as one number: `1,234.5`, `1 234` with a no-break or thin space, `$12`, `12%` (twelve), `-3`
  with any minus sign, `.5`, `1.2e3`, and fractions less than one, alone or after a whole number
  (`3/4`, `2 1/2`, `½`). Any other `a/b` is a calculation that was not done: two numbers.
- Not a number: digits glued to the end of a word (`km2`, `CO2`), exponents (`m²`, `m^2`).
- A minus sign counts when nothing but a space, a bracket or an operator stands before it, so
  `10-12` ends in twelve.
- An answer without any digit may spell the number: `forty-two`, `three hundred and five`.

**Match rule.** Answer and phrases are normalized: NFKC, case folded, apostrophes dropped, other
punctuation a word boundary, `a`, `an` and `the` dropped. One expected phrase must stand in the
answer as whole words, no forbidden phrase may, and the answer must not exceed the word limit.
"""

from __future__ import annotations

import math
import re
import unicodedata

from edgeagent.config.suite import MatchCheck, NumberCheck, TaskSpec
from edgeagent.record.outcome import Outcome, StepKind

_ABS_TOL = 1e-9
"""Lets an expected zero be met; far below any answer's precision."""

_NUMBER = re.compile(
    r"""
    (?<![\w^.])                              # not inside a word, an exponent or another number
    (?P<sign>(?:(?<![\w)\]%-])-)?)           # a minus with no operand before it
    [$€£¥]?
    (?P<inner_sign>-?)                       # $-12
    (?:
        (?P<whole>[0-9]+[ ]+)?(?P<numerator>[0-9]+)/(?P<denominator>[0-9]+)(?![/0-9.]*[/0-9])
      | (?P<grouped>[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?)(?![0-9])
      | (?P<plain>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+(?![0-9a-zA-Z]))?)
    )
    """,
    re.VERBOSE,
)
_MINUS_SIGNS = str.maketrans(dict.fromkeys("\u2010\u2011\u2212\ufe63\uff0d", "-"))
_GROUPING_SPACE = re.compile("(?<=[0-9])[\u00a0\u202f\u2009\u2007](?=[0-9]{3}(?![0-9]))")
_WORD = re.compile(r"[0-9]+(?:[.:][0-9]+)*|[^\W\d_]+|\d+")
_APOSTROPHES = re.compile("['`\u00b4\u02bc\u2018\u2019]")
_ARTICLES = frozenset({"a", "an", "the"})

# fmt: off
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
_SMALL_WORDS = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_SCALE_WORDS = {"hundred": 100, "thousand": 1000}


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

    stated = numbers_in(question)
    found = numbers_in(answer) or spelled_numbers_in(answer)
    if not any(is_expected(value) for value in stated):
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
    folded = re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", _APOSTROPHES.sub("", folded))
    return [word for word in _WORD.findall(folded) if word not in _ARTICLES]


def numbers_in(text: str) -> list[float]:
    """Return the numbers written with digits, in order; those too large for a float are left out.

    Fractions come out as their value, percentages without the sign.
    """
    values: list[float] = []
    for found in _NUMBER.finditer(_plain_digits(text)):
        sign = -1.0 if found["sign"] or found["inner_sign"] else 1.0
        if found["denominator"] is None:
            parts = [sign * float((found["grouped"] or found["plain"]).replace(",", ""))]
        else:
            parts = _fraction(found["whole"], found["numerator"], found["denominator"])
            parts[0] *= sign
        values += [value for value in parts if math.isfinite(value)]
    return values


def _fraction(whole: str | None, numerator: str, denominator: str) -> list[float]:
    above, below = float(numerator), float(denominator)
    before = [] if whole is None else [float(whole)]
    if above < below < math.inf:
        return [sum(before) + above / below]
    return [*before, above, below]


def _plain_digits(text: str) -> str:
    """Rewrite digits, minus signs and fraction characters in ASCII; drop raised and lowered ones.

    Compatibility normalization alone would turn `m²` into `m2` and `2½` into `21/2`.
    """
    text = _GROUPING_SPACE.sub("", text.replace("{,}", ","))
    characters = []
    for character in text:
        form = unicodedata.decomposition(character)
        if form.startswith(("<super>", "<sub>")):
            continue
        characters.append(f" {character}" if form.startswith("<fraction>") else character)
    normalized = unicodedata.normalize("NFKC", "".join(characters))
    return normalized.replace("\u2044", "/").translate(_MINUS_SIGNS)


def spelled_numbers_in(text: str) -> list[float]:
    """Return the numbers below a million that are written in English words, in order."""
    values: list[float] = []
    total = current = 0
    previous = ""  # the number word just read; empty between two numbers
    for word in [*normalized_words(text), ""]:
        if word == "and" and previous in _SCALE_WORDS:
            continue
        starts_new = not previous or (word in _SMALL_WORDS and not _continues(previous, word))
        if previous and (starts_new or word not in _SMALL_WORDS | _SCALE_WORDS):
            values.append(float(total + current))
            total = current = 0
            previous = ""
        if word in _SMALL_WORDS:
            current += _SMALL_WORDS[word]
            previous = word
        elif word == "hundred" and (previous or not total):
            current = max(current, 1) * 100
            previous = word
        elif word == "thousand":
            total, current = total + max(current, 1) * 1000, 0
            previous = word
    return values


def _continues(previous: str, word: str) -> bool:
    """Whether a small number word goes on with the number that `previous` belongs to."""
    return previous in _SCALE_WORDS or (previous in _TENS and word in _UNITS[1:10])
