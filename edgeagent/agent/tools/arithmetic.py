"""A safe parser of arithmetic with units: exact, no variables, bounded in length, depth and size.

Grammar, loosest first::

    whole   = sum (("in" | "to" | "as" | "into") unit)?
    sum     = product (("+" | "-") product)*        a - b% takes off b % of a
    product = sign (("*" | "x" | "/" | "per" | "%" | "of" | "//") sign)*
    sign    = ("-" | "+") sign | power
    power   = postfix (("^" | "**") sign)?
    postfix = atom "%"*                             if no operand follows, else remainder
    atom    = (number unit?)+ | unit | name "(" sum ("," sum)* ")" | "(" sum ")"
    unit    = one (("/" | "per") one)*              km/h, square metres, m^2
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import takewhile

from edgeagent.agent.tools.quantity import Quantity
from edgeagent.agent.tools.units import MAX_WORDS, Unit, combine, find_unit
from edgeagent.errors import ToolError

MAX_CHARS = 300
MAX_DEPTH = 40

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?|\.\d+)"
    r"|(?P<name>°\s?[A-Za-z]|[µμ]?[A-Za-z]+(?:[²³]|(?<=[mtdin])[23](?![\w.,]))?)"
    r"|(?P<op>\*\*|//|[-+*/%^(),×÷·−√$€£]))"  # noqa: RUF001 - as people type it
)
_SAME = {
    **{"×": "*", "·": "*", "÷": "/", "−": "-", "**": "^", "x": "*", "of": "*"},  # noqa: RUF001
    **{"per": "/", "into": "to", "as": "to"},
}
_CURRENCIES = frozenset("$€£")
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}
_SUFFIXES = {"²": 2, "2": 2, "³": 3, "3": 3}


def _largest(first: Quantity, *others: Quantity) -> Quantity:
    for other in others:
        first = other if other.plus(first, -1).value > 0 else first
    return first


def _smallest(first: Quantity, *others: Quantity) -> Quantity:
    for other in others:
        first = other if other.plus(first, -1).value < 0 else first
    return first


def _total(first: Quantity, *others: Quantity) -> Quantity:
    for other in others:
        first = first.plus(other)
    return first


_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Quantity]]] = {
    "sqrt": (1, 1, Quantity.root),
    "abs": (1, 1, lambda value: replace(value, value=abs(value.value))),
    "round": (1, 2, lambda value, *digits: value.rounded(*(part.value for part in digits))),
    "min": (1, 20, _smallest),
    "max": (1, 20, _largest),
    "sum": (1, 20, _total),
}


def evaluate(expression: str) -> Quantity:
    """Return the exact value of an arithmetic expression.

    Raises:
        ToolError: It cannot be parsed, divides by zero, grows too large or mixes units that do
            not go together.
    """
    if len(expression) > MAX_CHARS:
        raise ToolError(f"the expression is longer than {MAX_CHARS} characters")
    return _Parser(_tokenize(expression)).parse()


def _tokenize(expression: str) -> list[str]:
    text = expression.strip().removesuffix("=").rstrip()
    if any(name in text.lower() for name in _FUNCTIONS):
        # Between arguments a comma separates: max(100,200) is about two numbers.
        text = text.replace(",", ", ")
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ToolError(f"{text[position:].strip()[:20]!r} is not arithmetic")
        position = match.end()
        token = match.group(match.lastgroup or 0)
        if token not in _CURRENCIES:
            token = token.replace(" ", "").replace("μ", "µ")
            tokens.append(_SAME.get(token.lower(), token))
    if not tokens:
        raise ToolError("the expression is empty")
    return tokens


class _Parser:
    """Recursive descent over the tokens; one method per rule of the grammar above."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def parse(self) -> Quantity:
        value = self._sum()
        if self._take("in", "to"):
            unit = self._unit()
            if unit is None:
                raise ToolError(f"{self._peek() or 'nothing'!r} is not a unit that is known")
            value = value.converted(unit)
        if self._peek() is not None:
            raise ToolError(f"unexpected {self._peek()!r} in the expression")
        return value

    def _peek(self, ahead: int = 0) -> str | None:
        position = self._position + ahead
        return self._tokens[position] if position < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise ToolError("the expression ends too early")
        self._position += 1
        return token

    def _take(self, *tokens: str) -> str | None:
        if (token := self._peek()) is not None and token.lower() in tokens:
            self._position += 1
            return token.lower()
        return None

    def _sum(self) -> Quantity:
        value = self._product()
        while operator := self._take("+", "-"):
            start = self._position
            right = self._product()
            if self._position == start + 2 and self._tokens[start + 1] == "%":
                # As on every pocket calculator: 80 - 15% takes off 15 % of 80.
                right = value.times(right)
            value = value.plus(right, 1 if operator == "+" else -1)
        return value

    def _product(self) -> Quantity:
        value = self._sign()
        while operator := self._take("*", "/", "//", "%"):
            right = self._sign()
            if operator == "*":
                value = value.times(right)
            elif operator == "/":
                value = value.over(right)
            elif operator == "//":
                value = value.floor_over(right)
            else:
                value = value.modulo(right)
        return value

    def _sign(self) -> Quantity:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ToolError("the expression is nested too deeply")
        try:
            if operator := self._take("-", "+"):
                return self._sign().negated() if operator == "-" else self._sign()
            return self._power()
        finally:
            self._depth -= 1

    def _power(self) -> Quantity:
        base = self._postfix()
        if not self._take("^"):
            return base
        exponent = self._sign()
        if exponent.dims:
            raise ToolError("an exponent has no unit")
        return base.power(exponent.value)

    def _postfix(self) -> Quantity:
        value = self._atom()
        while self._peek() == "%" and not self._operand_follows():
            self._position += 1
            value = value.times(Quantity(Fraction(1, 100)))
        return value

    def _operand_follows(self) -> bool:
        """Whether the token after the next starts an operand, so that `%` means remainder."""
        after = self._peek(1)
        return after is not None and after != "to" and (after[0].isalnum() or after[0] in "(.√")

    def _atom(self) -> Quantity:
        if (number := self._number()) is not None:
            return self._compound(number)
        if (token := self._peek()) is not None and token.lower() in _FUNCTIONS:
            if self._peek(1) == "(":
                return self._function(self._next().lower())
            if (unit := self._unit()) is None:
                raise ToolError(f"{token.lower()} needs parentheses")
            return Quantity.of(Fraction(1), unit)
        if (unit := self._unit()) is not None:
            return Quantity.of(Fraction(1), unit)
        token = self._next()
        if token == "(":
            value = self._sum()
            if not self._take(")"):
                raise ToolError("a closing parenthesis is missing")
            return value
        if token == "√":
            return self._atom().root()
        raise ToolError(f"{token!r} is not a number; write the numbers themselves")

    def _number(self) -> Quantity | None:
        """Take a number and its unit, if it has one."""
        token = self._peek()
        if token is None or not (token[0].isdigit() or token[0] == "."):
            return None
        self._position += 1
        value = Fraction(token.replace(",", ""))
        unit = self._unit()
        if unit is None and (part := self._part_of_unit(value)):
            return part
        return Quantity.of(value, unit) if unit else Quantity(value).plus(Quantity(Fraction(0)))

    def _part_of_unit(self, above: Fraction) -> Quantity | None:
        """Take the rest of 1/2 mile: a fraction below one, then a unit."""
        below = self._peek(1) or ""
        if self._peek() != "/" or not below.isdecimal() or not 0 < above < int(below):
            return None
        start = self._position
        self._position += 2
        if (unit := self._unit()) is None:
            self._position = start
            return None
        return Quantity.of(above / int(below), unit)

    def _compound(self, value: Quantity) -> Quantity:
        """Take what belongs to a quantity in several units, such as 3 h 20 min or 5 ft 11 in."""
        start = self._position
        smallest = value.unit
        while smallest is not None:
            self._take("and")
            part = self._number()
            if part is None or part.unit is None or part.dims != value.dims:
                break
            if part.unit.factor >= smallest.factor:
                break
            value, smallest, start = value.plus(part), part.unit, self._position
        self._position = start
        return value

    def _unit(self) -> Unit | None:
        """Take a unit, if one stands here."""
        start = self._position
        unit = self._one_unit()
        if unit is None:
            return None
        while self._peek() == "/":
            self._position += 1
            below = self._one_unit()
            if below is None:
                self._position -= 1
                break
            unit = Unit("", unit.factor / below.factor, combine(unit.dims, below.dims, -1))
        label = " ".join(self._tokens[start : self._position])
        return replace(unit, label=label.replace(" / ", "/").replace(" ^ ", "^"))

    def _one_unit(self) -> Unit | None:
        start = self._position
        power = _POWERS.get(self._take("square", "sq", "cubic", "cu") or "", 1)
        words = list(takewhile(str.isalpha, self._tokens[self._position :][:MAX_WORDS]))
        token = self._peek()
        if token is None or (token.lower() in {"in", "min"} and not self._is_unit_here(token)):
            self._position = start
            return None
        if token[-1] in _SUFFIXES and not token[0].isdigit():
            power, words = _SUFFIXES[token[-1]], [token[:-1]]
        elif token.startswith("°"):
            words = [token]
        found = find_unit(words)
        if found is None:
            self._position = start
            return None
        unit, taken = found
        self._position += taken
        if self._peek() == "^" and self._peek(1) in {"2", "3"}:
            power = int(self._peek(1) or 1)
            self._position += 2
        power = _POWERS.get(self._take("squared", "cubed") or "", power)
        if power == 1:
            return unit
        return Unit(unit.label, unit.factor**power, combine((), unit.dims, power))

    def _is_unit_here(self, token: str) -> bool:
        """Whether `in` is an inch, not the word before a unit, and `min` a minute, no function."""
        after = self._peek(1)
        if token.lower() == "min":
            return after != "("
        return after is None or after.lower() in {"in", "to"} or not after[0].isalnum()

    def _function(self, name: str) -> Quantity:
        self._take("(")
        arguments = [self._sum()]
        while self._take(","):
            arguments.append(self._sum())
        if not self._take(")"):
            raise ToolError("a closing parenthesis is missing")
        fewest, most, function = _FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            raise ToolError(f"{name} does not take {len(arguments)} numbers")
        return function(*arguments)
