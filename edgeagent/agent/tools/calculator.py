"""The calculator tool: exact arithmetic on an expression."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edgeagent.agent.tools.arithmetic import evaluate, format_exact
from edgeagent.agent.tools.protocol import (
    JsonSchema,
    object_schema,
    pattern_schema,
    string_argument,
    text_schema,
)

MAX_OPERANDS = 8
"""More different numbers than this are not offered as operands: the last ones are left out."""

_NUMBER = re.compile(r"(?<![\w.:,-])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:%|(?![\w:]))")
"""A number of its own: not a part of a code like E5, a time like 7:30 or a word like 2nd."""

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


class Calculator:
    """Computes with exact fractions and answers in decimals."""

    name = "calculator"
    is_delegate = False
    description = (
        "Compute an arithmetic expression with + - * / % ^ and parentheses, such as "
        "(12.5 + 3) * 4 or 15% of 80. Use it for every calculation."
    )
    parameters = object_schema(expression=text_schema("Numbers and operators only, no words", 80))

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to compute with the numbers of the question and of the results.

        There have to be two at least, and one of them in the question: what a document says in
        passing is no reason to compute.
        """
        asked = operands(question)
        known = operands("\n".join((question, *results)))
        if not asked or len(known) < 2:  # noqa: PLR2004 - an operator needs two operands
            return None
        return object_schema(expression=pattern_schema("", _expression(known[:MAX_OPERANDS])))

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return the value of `expression`.

        Raises:
            ToolError: It is not arithmetic, divides by zero or grows too large.
        """
        return format_exact(evaluate(string_argument(arguments, "expression")))


def operands(text: str) -> tuple[str, ...]:
    """Return the different numbers of a text in order, as an expression writes them.

    A percentage keeps its sign, digit groups lose their commas, spelled numbers become digits.
    """
    found = [(match.start(), match.group().replace(",", "")) for match in _NUMBER.finditer(text)]
    found += [
        (match.start(), _SPELLED[match.group().lower()]) for match in _SPELLED_WORD.finditer(text)
    ]
    return tuple(dict.fromkeys(number for _, number in sorted(found)))


def _expression(numbers: Sequence[str]) -> str:
    """Return the regular expression of sums and products of these numbers."""
    number = f"({'|'.join(re.escape(number) for number in numbers)})"
    tail = f"( ([-+*/]|of) {number}){{0,5}}"
    return rf"{number} ([-+*/]|of) {number}{tail}|\({number} [-+] {number}\) [*/] {number}"
