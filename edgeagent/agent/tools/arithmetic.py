"""A safe parser of arithmetic: exact fractions, no names, bounded in length, depth and size.

Grammar, loosest first::

    sum     = product (("+" | "-") product)*        a - b% takes off b % of a
    product = sign (("*" | "x" | "/" | "%" | "of" | "//") sign)*
    sign    = ("-" | "+") sign | power
    power   = postfix (("^" | "**") sign)?
    postfix = atom "%"*                             if no operand follows, else remainder
    atom    = number | name "(" sum ("," sum)* ")" | "(" sum ")"
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal, Inexact, localcontext
from fractions import Fraction

from edgeagent.errors import ToolError

MAX_CHARS = 300
MAX_DEPTH = 40
MAX_BITS = 1024
"""Size of numerator and denominator: enough for any honest sum, small enough to stay fast."""
_EXACT_DIGITS = 400
"""More than a whole number of `MAX_BITS` bits has."""
_MOST_SHOWN_DIGITS = 20

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?|\.\d+)"
    r"|(?P<name>[A-Za-z]+)|(?P<op>\*\*|//|[-+*/%^(),×÷·−√$€£]))"  # noqa: RUF001 - as people type it
)
_SAME = {"×": "*", "·": "*", "÷": "/", "−": "-", "**": "^", "x": "*", "of": "*"}  # noqa: RUF001
_CURRENCIES = frozenset("$€£")


def _sqrt(value: Fraction) -> Fraction:
    if value < 0:
        raise ToolError("the square root of a negative number is not a real number")
    numerator, denominator = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if numerator**2 == value.numerator and denominator**2 == value.denominator:
        return Fraction(numerator, denominator)
    # Irrational: correct to 40 digits, then rounded for display like every other result.
    scale = 10**40
    return Fraction(math.isqrt(value.numerator * scale**2 // value.denominator), scale)


def _round(value: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    if digits.denominator != 1 or abs(digits) > 20:
        raise ToolError("round takes a whole number of digits up to 20")
    # Half away from zero, as people round; Python's own round goes to the even neighbour.
    scale = Fraction(10) ** int(digits)
    rounded = math.floor(abs(value) * scale + Fraction(1, 2)) / scale
    return rounded if value >= 0 else -rounded


_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Fraction]]] = {
    "sqrt": (1, 1, _sqrt),
    "abs": (1, 1, abs),
    "round": (1, 2, _round),
    "min": (1, 20, lambda *values: min(values)),
    "max": (1, 20, lambda *values: max(values)),
    "sum": (1, 20, lambda *values: sum(values, Fraction(0))),
}


def evaluate(expression: str) -> Fraction:
    """Return the exact value of an arithmetic expression.

    Raises:
        ToolError: It cannot be parsed, divides by zero or grows too large.
    """
    if len(expression) > MAX_CHARS:
        raise ToolError(f"the expression is longer than {MAX_CHARS} characters")
    parser = _Parser(_tokenize(expression))
    value = parser.parse_sum()
    if parser.peek() is not None:
        raise ToolError(f"unexpected {parser.peek()!r} in the expression")
    return value


def format_exact(value: Fraction, digits: int = 10) -> str:
    """Return a number as a plain decimal, exact where it ends soon, else to `digits` digits.

    There is no exponent and no thousands separator.
    """
    numerator, denominator = Decimal(value.numerator), Decimal(value.denominator)
    with localcontext(prec=_EXACT_DIGITS) as context:
        quotient = numerator / denominator
        long = value.denominator > 1 and len(quotient.as_tuple().digits) > _MOST_SHOWN_DIGITS
        if context.flags[Inexact] or long:
            context.prec = digits
            quotient = numerator / denominator
        return f"{quotient.normalize():f}"


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

    def peek(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _next(self) -> str:
        token = self.peek()
        if token is None:
            raise ToolError("the expression ends too early")
        self._position += 1
        return token

    def _take(self, *tokens: str) -> str | None:
        if (token := self.peek()) in tokens and token is not None:
            self._position += 1
            return token
        return None

    def parse_sum(self) -> Fraction:
        value = self._product()
        while operator := self._take("+", "-"):
            start = self._position
            right = self._product()
            if self._position == start + 2 and self._tokens[start + 1] == "%":
                # As on every pocket calculator: 80 - 15% takes off 15 % of 80.
                right = value * right
            value = _bounded(value + right if operator == "+" else value - right)
        return value

    def _product(self) -> Fraction:
        value = self._sign()
        while operator := self._take("*", "/", "//", "%"):
            right = self._sign()
            if operator == "*":
                value = value * right
            elif right == 0:
                raise ToolError("division by zero")
            elif operator == "/":
                value = value / right
            elif operator == "//":
                value = Fraction(value // right)
            else:
                value = value % right
            value = _bounded(value)
        return value

    def _sign(self) -> Fraction:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ToolError("the expression is nested too deeply")
        try:
            if operator := self._take("-", "+"):
                return -self._sign() if operator == "-" else self._sign()
            return self._power()
        finally:
            self._depth -= 1

    def _power(self) -> Fraction:
        base = self._postfix()
        if not self._take("^"):
            return base
        exponent = self._sign()
        if exponent == Fraction(1, 2):
            return _sqrt(base)
        if exponent.denominator != 1:
            raise ToolError("only whole exponents and 1/2 can be computed exactly")
        if base == 0 and exponent < 0:
            raise ToolError("division by zero")
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(exponent) * bits > MAX_BITS:
            raise ToolError("the result is too large")
        return Fraction(base ** int(exponent))

    def _postfix(self) -> Fraction:
        value = self._atom()
        while self.peek() == "%" and not self._operand_follows():
            self._position += 1
            value = value / 100
        return value

    def _operand_follows(self) -> bool:
        """Whether the token after the next starts an operand, so that `%` means remainder."""
        after = self._tokens[self._position + 1 : self._position + 2]
        return bool(after) and (after[0][0].isalnum() or after[0][0] in "(.√")

    def _atom(self) -> Fraction:
        token = self._next()
        if token == "(":
            value = self.parse_sum()
            if not self._take(")"):
                raise ToolError("a closing parenthesis is missing")
            return value
        if token == "√":
            return _sqrt(self._atom())
        if token[0].isdigit() or token[0] == ".":
            return _bounded(Fraction(token.replace(",", "")))
        if token.lower() in _FUNCTIONS:
            return self._function(token.lower())
        raise ToolError(f"{token!r} is not a number; write the numbers themselves")

    def _function(self, name: str) -> Fraction:
        if not self._take("("):
            raise ToolError(f"{name} needs parentheses")
        arguments = [self.parse_sum()]
        while self._take(","):
            arguments.append(self.parse_sum())
        if not self._take(")"):
            raise ToolError("a closing parenthesis is missing")
        fewest, most, function = _FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            raise ToolError(f"{name} does not take {len(arguments)} numbers")
        return _bounded(function(*arguments))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ToolError("the result is too large")
    return value
