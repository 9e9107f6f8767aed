"""Quantities with units in a text, and the conversions that it asks for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeagent.agent.tools.arithmetic import evaluate
from edgeagent.agent.tools.quantity import Quantity
from edgeagent.agent.tools.units import Unit
from edgeagent.errors import ToolError

MAX_QUANTITIES = 3
"""More of them are left to plain arithmetic: the ways to combine them are too many."""
_MAX_WORDS = 5
"""Words of the longest unit that is looked for: `square metres per working hour` is none."""

_WORD = re.compile(r"[^\W\d_]+[²³]?|°\s?[CFcf]\b|/")
_UNIT_TEXT = re.compile(rf"[ -]?(?:(?:{_WORD.pattern}) ?){{1,{_MAX_WORDS}}}")
_INCH = re.compile(r" ?in\b(?= (?:in|to|into) )")
_ASKING = re.compile(
    r"\b(?:how (?:many|much)|number of|in|into|to|as) (?:(?:full|whole|total) )?(?=[^\W\d]|°)",
    re.IGNORECASE,
)
_CONVERTS = frozenset(("in", "to", "into", "as"))
_RATES = frozenset(("a", "an", "each", "every"))
_NO_UNITS = frozenset(("in", "to", "as", "of", "x", "per", "a", "at", "am", "pm", "no", "st", "so"))
"""Words of every text that are also symbols of units."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity of a text.

    Attributes:
        text: Number and unit as an expression writes them.
        units: Its units as an expression writes them; empty for a plain number.
        quantity: What it is worth.
        start: Where it begins in the text.
        end: Where it ends.
    """

    text: str
    units: tuple[str, ...]
    quantity: Quantity
    start: int
    end: int


def find_measures(text: str, numbers: Sequence[tuple[int, int, str]]) -> tuple[Measure, ...]:
    """Return the quantities of a text in order; 3 hours and 20 minutes are one.

    Args:
        text: The text.
        numbers: Where its numbers begin and end, and how an expression writes them.
    """
    found: list[Measure] = []
    for start, end, number in numbers:
        unit, length = unit_before(text[end:])
        written = f"{number} {unit}".strip()
        part = Measure(written, (unit,) if unit else (), evaluate(written), start, end + length)
        if found and _belongs(found[-1], part, text):
            written = f"{found[-1].text} {part.text}"
            units = (*found[-1].units, *part.units)
            first = found.pop()
            part = Measure(written, units, evaluate(written), first.start, part.end)
        found.append(part)
    return tuple(found)


def _belongs(first: Measure, second: Measure, text: str) -> bool:
    """Whether two quantities are one in two units, such as 5 ft 11 in."""
    if not first.units or not second.units or first.quantity.dims != second.quantity.dims:
        return False
    above, below = _unit(first.units[-1]), _unit(second.units[-1])
    between = text[first.end : second.start].strip()
    return bool(above and below and above.factor > below.factor and between in {"", "and", ","})


def unit_before(text: str) -> tuple[str, int]:
    """Return the longest unit that a text begins with, and how long it is there.

    The unit is written as in an expression; both are empty if there is none.
    """
    if match := _INCH.match(text):
        return "in", match.end()
    match = _UNIT_TEXT.match(text)
    words = list(_WORD.finditer(match[0])) if match else []
    for count in range(len(words), 0, -1):
        part = [word[0] for word in words[:count]]
        if any(word.lower() in _NO_UNITS for word in (part[0], part[-1])) or _CONVERTS & {*part}:
            continue
        # "8 hours a day" is a rate.
        middle = ["per" if word.lower() in _RATES else word for word in part[1:-1]]
        unit = " ".join([part[0], *middle, *part[1:][-1:]]).replace(" / ", "/")
        if _unit(unit) is not None:
            return unit, words[count - 1].end()
    return "", 0


def asked_units(question: str) -> Iterator[str]:
    """Return the units that a question asks for: how many miles, in feet, to Celsius."""
    for match in _ASKING.finditer(question):
        unit, _ = unit_before(question[match.end() :])
        if len(unit) > 1:
            yield unit


def conversions(
    question: str, asked: Sequence[Measure], found: Sequence[Measure]
) -> tuple[str, ...]:
    """Return the expressions that convert what was said into a unit that was asked for.

    They are empty where no conversion is needed: plain numbers are enough then.

    Args:
        question: What was asked.
        asked: The quantities of the question.
        found: Those of results.
    """
    measures = (*asked, *found)
    if not measures or len(measures) > MAX_QUANTITIES:
        return ()
    for target in asked_units(question):
        unit = _unit(target)
        if unit is None or not _differs(unit, measures):
            continue
        if not asked and any(_is_same(unit, name) for part in found for name in part.units):
            continue  # the result already says it in that unit
        candidates = [f"{chain} in {target}" for chain in _chains(asked, found)]
        if fitting := tuple(text for text in candidates if _fits(text)):
            return fitting
    return ()


def _chains(asked: Sequence[Measure], found: Sequence[Measure]) -> Iterator[str]:
    if not asked:  # what a document says in passing is no reason to compute
        yield from (part.text for part in found)
        return
    for chain in itertools.permutations((*asked, *found)):
        for operators in itertools.product("*/+-", repeat=len(chain) - 1):
            pairs = list(zip(operators, chain, chain[1:], strict=False))
            if any(
                operator == "/" and not left.units and part.units for operator, left, part in pairs
            ):
                continue  # 6 / 750 ml would be read as a small part of a millilitre
            yield chain[0].text + "".join(f" {operator} {part.text}" for operator, _, part in pairs)


def _differs(target: Unit, measures: Sequence[Measure]) -> bool:
    """Whether some stated unit measures the same as another one, or as the target, differently."""
    parts = [target]
    for part in measures:
        for unit in part.units:
            names = (unit, *re.split(r"/| per ", unit)) if part.quantity.dims else ()
            parts += [one for name in names if (one := _unit(name)) is not None]
    return any(
        first.dims == second.dims and (first.factor, first.offset) != (second.factor, second.offset)
        for first, second in itertools.combinations(parts, 2)
    )


def _is_same(unit: Unit, name: str) -> bool:
    other = _unit(name)
    return other is not None and (unit.dims, unit.factor) == (other.dims, other.factor)


def _unit(text: str) -> Unit | None:
    try:
        return evaluate(f"1 {text}").unit
    except ToolError:
        return None


def _fits(expression: str) -> bool:
    try:
        return bool(evaluate(expression).dims)
    except ToolError:
        return False
