"""The calculator tool: exact arithmetic and conversion of units."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from edgeagent.agent.tools.arithmetic import evaluate
from edgeagent.agent.tools.measures import MAX_QUANTITIES, conversions, find_measures
from edgeagent.agent.tools.protocol import (
    JsonSchema,
    object_schema,
    pattern_schema,
    string_argument,
    text_schema,
)
from edgeagent.agent.tools.sentences import sentences
from edgeagent.agent.tools.written_dates import find_dates

MAX_OPERANDS = 4
"""Up to so many numbers, an expression uses each as often as it was stated."""

MAX_CONVERSIONS = 24
"""Expressions with units that a grammar lists at most."""

_NUMBER = re.compile(
    r"(?<![\w.:,-])(?P<number>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:%|(?![\w:%])))"
    r"(?! ?[ap]\.?m\b)",
    re.IGNORECASE,
)
"""A number that is a quantity: not part of a code like E5, a time like 7:30 or 3 pm, nor a word
like 2nd."""

_SPELLED = {
    word: str(value)
    for value, words in {
        2: "two twice double half",
        3: "three triple",
        4: "four quarter",
        **{5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten", 11: "eleven"},
        12: "twelve dozen",
        **{20: "twenty", 50: "fifty", 100: "hundred", 1000: "thousand"},
    }.items()
    for word in words.split()
}
_SPELLED_WORD = re.compile(rf"\b({'|'.join(_SPELLED)})\b", re.IGNORECASE)


_WRITTEN = re.compile(r"\(*\d[\d.,]*%?\)*(?:(?: ?[*/^] ?| [-+] )\(*\d[\d.,]*%?\)*)+(?<![.,])")
"""An expression; a minus sign has blanks around it, else it may be a range or part of a name."""

_QUOTED = re.compile(r"\"[^\"\n]*\"|\u201c[^\u201d\n]*\u201d")


class Calculator:
    """Computes with exact fractions and answers in decimals."""

    name = "calculator"
    is_delegate = False
    description = (
        "Compute an arithmetic expression with + - * / % ^ and parentheses, such as "
        "(12.5 + 3) * 4 or 15% of 80. Use it for every calculation."
    )
    parameters = object_schema(
        expression=text_schema("Numbers and operators; units too, as in 5 km in miles", 80)
    )

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to compute with the numbers of the question and of the results.

        There have to be two at least, and one of them the question's own: what a document says in
        passing is no reason to compute, and a number that it repeats was a key to look it up.
        """
        # Titles of passages add no quantities.
        said = _without_dates(" ".join(part for result in results for part in sentences(result)))
        question = _without_dates(question)
        if converted := _converted(question, said):
            pattern = "|".join(map(re.escape, converted[:MAX_CONVERSIONS]))
            return object_schema(expression=pattern_schema("", pattern))
        # What the user quotes is a text like a result: its numbers alone are no reason to compute.
        quoted = " ".join(_QUOTED.findall(question))
        question = _QUOTED.sub(_unless_text, question)
        if written := _written(question):
            return object_schema(expression=pattern_schema("", re.escape(written)))
        stated = operands(f"{quoted} {said}")
        asked = tuple(number for number in operands(question) if number not in stated)
        found = tuple(number for number in stated if number not in operands(question))
        if not asked or len(asked) + len(found) < 2:
            return None
        return object_schema(expression=pattern_schema("", _expression(asked, found)))

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return the value of `expression`.

        Raises:
            ToolError: It is not arithmetic, divides by zero or grows too large.
        """
        return evaluate(string_argument(arguments, "expression")).text()


def _unless_text(quote: re.Match[str]) -> str:
    """Return a quoted expression as it is, and a blank for any other quote."""
    inside = quote.group()[1:-1].strip()
    return inside if _WRITTEN.fullmatch(inside) else " "


def _written(question: str) -> str:
    """Return the expression that a question writes out with all of its numbers, else nothing."""
    for match in _WRITTEN.finditer(question):
        expression = match.group().strip()
        if expression.count("(") == expression.count(")") and len(operands(expression)) > 1:
            return expression if operands(expression) == operands(question) else ""
    return ""


def operands(text: str) -> tuple[str, ...]:
    """Return the quantities of a text in order, as an expression writes them.

    A percentage keeps its sign, digit groups lose their commas, spelled numbers become digits.
    """
    return tuple(number for _, _, number in _numbers(text))


def _numbers(text: str) -> list[tuple[int, int, str]]:
    """Return where numbers begin and end, and how an expression writes them."""
    found = [(*match.span(), match["number"].replace(",", "")) for match in _NUMBER.finditer(text)]
    found += [
        (*match.span(), _SPELLED[match.group().lower()]) for match in _SPELLED_WORD.finditer(text)
    ]
    return sorted(found)


def _converted(question: str, said: str) -> tuple[str, ...]:
    """Return the expressions that answer in the unit that was asked for, if it takes converting."""
    numbers = [*_numbers(question), *_numbers(said)]
    if len(numbers) > 2 * MAX_QUANTITIES:  # 3 hours 20 minutes are one quantity and two numbers
        return ()
    if any(number.endswith("%") for _, _, number in numbers):
        return ()  # what a percentage is taken of cannot be told by its unit
    asked, found = (find_measures(text, _numbers(text)) for text in (question, said))
    return conversions(question, asked, found)


def _without_dates(text: str) -> str:
    """Return a text without its dates: nobody multiplies by the 3rd of May."""
    for found in reversed(find_dates(text)):
        text = f"{text[: found.start]} {text[found.end :]}"
    return text


def _expression(asked: Sequence[str], found: Sequence[str]) -> str:
    """Return the regular expression of the sums and products of these numbers.

    Each has a number of the question, and uses no number more often than it was stated.
    """
    operator = "([-+*/]|of)"
    numbers = [re.escape(number) for number in (*asked, *found)]
    if len(numbers) > MAX_OPERANDS:
        number = f"({'|'.join(dict.fromkeys(numbers))})"
        first = f"({'|'.join(dict.fromkeys(map(re.escape, asked)))})"
        return f"{first}( {operator} {number}){{1,5}}"
    chains = dict.fromkeys(
        tuple(numbers[index] for index in order)
        for size in range(2, len(numbers) + 1)
        for order in itertools.permutations(range(len(numbers)), size)
        if min(order) < len(asked)
    )
    return "|".join(
        part
        for chain in chains
        for part in (f" {operator} ".join(chain), *_bracketed(chain, operator))
    )


def _bracketed(chain: Sequence[str], operator: str) -> tuple[str, ...]:
    """Return the one use of parentheses that small models have: a sum taken times something."""
    if len(chain) != 3:
        return ()
    return (rf"\({chain[0]} [-+] {chain[1]}\) {operator} {chain[2]}",)
