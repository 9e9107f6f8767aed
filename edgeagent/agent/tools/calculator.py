"""The calculator tool: exact arithmetic on an expression."""

from __future__ import annotations

import itertools
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
from edgeagent.agent.tools.sentences import sentences

MAX_OPERANDS = 4
"""Up to so many numbers, an expression uses each as often as it was stated."""

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

        There have to be two at least, and one of them the question's own: what a document says in
        passing is no reason to compute, and a number that it repeats was a key to look it up.
        """
        # Titles of passages add no quantities.
        said = operands(" ".join(part for result in results for part in sentences(result)))
        asked = tuple(number for number in operands(question) if number not in said)
        found = tuple(number for number in said if number not in operands(question))
        if not asked or len(asked) + len(found) < 2:
            return None
        return object_schema(expression=pattern_schema("", _expression(asked, found)))

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return the value of `expression`.

        Raises:
            ToolError: It is not arithmetic, divides by zero or grows too large.
        """
        return format_exact(evaluate(string_argument(arguments, "expression")))


def operands(text: str) -> tuple[str, ...]:
    """Return the quantities of a text in order, as an expression writes them.

    A percentage keeps its sign, digit groups lose their commas, spelled numbers become digits.
    """
    found = [(match.start(), match["number"].replace(",", "")) for match in _NUMBER.finditer(text)]
    found += [
        (match.start(), _SPELLED[match.group().lower()]) for match in _SPELLED_WORD.finditer(text)
    ]
    return tuple(number for _, number in sorted(found))


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
