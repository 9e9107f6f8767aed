"""Read the numbers that an English text states, in digits or in words.

- Read as one number: `1,234.5`, `1 234` with a no-break or thin space, `$12`, `12%` (twelve), `-3`
  with any minus sign, `.5`, `1.2e3`, and fractions less than one, alone or after a whole number
  (`3/4`, `2 1/2`, `½`). Any other `a/b` is a calculation that was not done: two numbers.
- Not a number: digits glued to the end of a word (`km2`, `CO2`, `v1.2`) and exponents (`m²`,
  `m^2`).
- A minus sign counts when no operand stands right before it, so `10-12` ends in twelve.
"""

from __future__ import annotations

import math
import re
import unicodedata

_NUMBER = re.compile(
    r"""
    (?<![^\W_])(?<!\^)(?<!\^[{-])(?<![0-9]\.)  # not inside a word, an exponent or a number
    (?P<sign>(?:(?<![\w)\]%-])-)?)             # a minus with no operand before it
    (?:[$€£¥](?P<inner_sign>-?))?              # $12, $-12
    (?:
        (?<!/)(?P<whole>[0-9]+[ ]+)?(?P<above>[0-9]+)/(?P<below>[0-9]+)(?![/0-9.]*[/0-9])
      | (?P<grouped>[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?)(?![0-9])
      | (?P<plain>(?:[0-9]+(?:\.[0-9]+)?|(?<![\w.])\.[0-9]+)(?:[eE][+-]?[0-9]+(?![0-9a-zA-Z]))?)
    )
    """,
    re.VERBOSE,
)
_MINUS_SIGNS = str.maketrans(dict.fromkeys("\u2010\u2011\u2212\ufe63\uff0d", "-"))
_GROUPING_SPACE = re.compile("(?<=[0-9])[\u00a0\u202f\u2009\u2007](?=[0-9]{3}(?![0-9]))")

# fmt: off
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_SCALES = ("hundred", "thousand")


def numbers_in(text: str) -> list[float]:
    """Return the numbers written with digits, in order; those too large for a float are left out.

    Fractions come out as their value, percentages without the sign.
    """
    values: list[float] = []
    for found in _NUMBER.finditer(_plain_digits(text)):
        if found["below"] is None:
            parts = [float((found["grouped"] or found["plain"]).replace(",", ""))]
        else:
            parts = _fraction(found["whole"], found["above"], found["below"])
        if found["sign"] or found["inner_sign"]:
            parts[0] = -parts[0]
        values += [value for value in parts if math.isfinite(value)]
    return values


def _fraction(whole: str | None, above: str, below: str) -> list[float]:
    before = [] if whole is None else [float(whole)]
    numerator, denominator = float(above), float(below)
    if numerator < denominator < math.inf:
        return [sum(before) + numerator / denominator]
    return [*before, numerator, denominator]


def _plain_digits(text: str) -> str:
    """Rewrite digits, minus signs and fraction characters in ASCII; drop raised and lowered ones.

    Compatibility normalization alone would turn `m²` into `m2` and `2½` into `21/2`.
    """
    characters = []
    for character in _GROUPING_SPACE.sub("", text.replace("{,}", ",")):
        form = unicodedata.decomposition(character)
        if not form.startswith(("<super>", "<sub>")):
            characters.append(f" {character}" if form.startswith("<fraction>") else character)
    normalized = unicodedata.normalize("NFKC", "".join(characters))
    return normalized.replace("\u2044", "/").translate(_MINUS_SIGNS)


def spelled_numbers_in(text: str) -> list[float]:
    """Return the numbers below a million that are written in words, in order."""
    values: list[float] = []
    total = current = 0
    previous = ""  # the word before, if it belongs to an unfinished number
    for word in [*re.findall(r"[^\W\d_]+", text.casefold()), ""]:
        if word == "and" and previous in _SCALES:
            continue
        if previous and not _continues(word, previous, total, current):
            values.append(float(total + current))
            total = current = 0
            previous = ""
        if word in _SMALL:
            current += _SMALL[word]
        elif word == "hundred":
            current = max(current, 1) * 100
        elif word == "thousand":
            total, current = max(current, 1) * 1000, 0
        else:
            continue
        previous = word
    return values


def _continues(word: str, previous: str, total: int, current: int) -> bool:
    """Whether a word goes on with the number `total + current` that ends in `previous`."""
    if word == "hundred":
        return 0 < current < 20  # nineteen hundred
    if word == "thousand":
        return 0 < current < 1000 and total == 0
    if previous in _SCALES:
        return word in _SMALL
    return previous in _TENS and word in _UNITS[1:10]
