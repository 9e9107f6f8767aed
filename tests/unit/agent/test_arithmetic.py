from __future__ import annotations

import math
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.agent.tools.arithmetic import MAX_CHARS, evaluate
from edgeagent.agent.tools.quantity import format_exact
from edgeagent.errors import ToolError


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("23 * 47", "1081"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("100 / 8 / 2", "6.25"),
        ("2 ^ 3 ^ 2", "512"),
        ("2 ** 10", "1024"),
        ("-2 ^ 2", "-4"),
        ("(-2) ^ 2", "4"),
        ("2 ^ -1", "0.5"),
        ("--3", "3"),
        ("1,234,567.50 + 1", "1234568.5"),
        ("$1,200 * 2", "2400"),
        ("€3.50 x 4", "14"),
        ("6 × 7 − 2 ÷ 4", "41.5"),  # noqa: RUF001
        ("15% of 80", "12"),
        ("80 - 15%", "68"),
        ("80 + 15%", "92"),
        ("50%", "0.5"),
        ("17 % 5", "2"),
        ("-17 % 5", "3"),
        ("17 // 5", "3"),
        ("200 * 5%", "10"),
        ("sqrt(144)", "12"),
        ("√2", "1.414213562"),
        ("9 ^ (1/2)", "3"),
        ("round(2.5)", "3"),
        ("round(-2.345, 2)", "-2.35"),
        ("max(100,200)", "200"),
        ("min(3, -1, 2)", "-1"),
        ("sum(1, 2, 3.5)", "6.5"),
        ("abs(-3)", "3"),
        ("3 + 4 =", "7"),
        ("1e3 + .5", "1000.5"),
        ("1 / 3", "0.3333333333"),
        ("2 / 3 * 3", "2"),
        ("0.1 + 0.2", "0.3"),
        ("10 ^ 20", "100000000000000000000"),
        ("1 / 8", "0.125"),
        ("0 * 5", "0"),
        ("-0", "0"),
        ("٣ + ٤", "7"),
    ],
)
def test_values(expression: str, value: str) -> None:
    assert evaluate(expression).text() == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "=",
        "+",
        "1 +",
        "(1 + 2",
        "1 + 2)",
        "1 2",
        "two plus two",
        "__import__('os').system('true')",
        "a = 3",
        "1 / 0",
        "1 % 0",
        "1 // 0",
        "0 ^ -1",
        "5 / (3 - 3)",
        "sqrt(-1)",
        "sqrt",
        "sqrt()",
        "sqrt(1, 2)",
        "round(1, 2.5)",
        "round(1, 99)",
        "2 ^ 0.3",
        "9 ^ 9 ^ 9 ^ 9",
        "10 ^ 1000",
        "1e999",
        "1e-999",
        "2 ^ 99999999999",
        "9" * (MAX_CHARS + 1),
        "(" * 150 + "1" + ")" * 149,
        "(" * 120 + "1" + ")" * 120,
        "-" * 200 + "1",
        "√" * 299,
        "1\0",
        "1 + \ud800",
        "²",
        "1..2",
        "1_000",
        "∞",
        "nan",
    ],
)
def test_what_is_not_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises(ToolError):
        evaluate(expression)


_LEAVES = st.one_of(
    st.integers(0, 9999).map(lambda n: (str(n), Fraction(n))),
    st.decimals(0, 999, places=2).map(lambda d: (f"{d:f}", Fraction(d))),
)


def _combine(
    children: st.SearchStrategy[tuple[str, Fraction | None]],
) -> st.SearchStrategy[tuple[str, Fraction | None]]:
    def join(
        left: tuple[str, Fraction | None], operator: str, right: tuple[str, Fraction | None]
    ) -> tuple[str, Fraction | None]:
        text = f"({left[0]} {operator} {right[0]})"
        a, b = left[1], right[1]
        if a is None or b is None or (operator in "/%//" and b == 0):
            return text, None
        results = {
            "+": lambda: a + b,
            "-": lambda: a - b,
            "*": lambda: a * b,
            "/": lambda: a / b,
            "%": lambda: a % b,
            "//": lambda: Fraction(a // b),
        }
        return text, results[operator]()

    return st.builds(join, children, st.sampled_from(["+", "-", "*", "/", "%", "//"]), children)


@settings(max_examples=120, deadline=None)
@given(st.recursive(_LEAVES, _combine, max_leaves=8))
def test_values_are_those_of_pythons_fractions(tree: tuple[str, Fraction | None]) -> None:
    text, value = tree
    if len(text) > MAX_CHARS:
        return
    if value is None:
        with pytest.raises(ToolError, match="zero"):
            evaluate(text)
    else:
        assert evaluate(text).value == value


@settings(max_examples=120, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8), st.data())
def test_without_parentheses_precedence_is_pythons(numbers: list[int], data: st.DataObject) -> None:
    text = str(numbers[0])
    for number in numbers[1:]:
        text += f" {data.draw(st.sampled_from('+-*'))} {number}"
    assert evaluate(text).value == eval(text)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=MAX_CHARS + 5),
        st.text(alphabet="0123456789+-*/%^().,eExX√ $sqrtmaxround", max_size=MAX_CHARS),
    )
)
def test_any_text_gives_a_number_or_a_tool_error_at_once(text: str) -> None:
    start = time.perf_counter()
    try:
        shown = evaluate(text).text()
    except ToolError:
        pass
    else:
        assert math.isfinite(float(shown.partition(" ")[0])) or len(shown) > 300
    assert time.perf_counter() - start < 1.0


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_decimals_are_shown_exactly(digits: int, places: int) -> None:
    value = Fraction(digits, 10**places)
    assert Fraction(format_exact(value)) == value


@given(st.fractions())
def test_other_numbers_are_shown_to_ten_digits(value: Fraction) -> None:
    shown = format_exact(value)
    assert "e" not in shown.lower()
    assert abs(Fraction(shown) - value) <= abs(value) * Fraction(1, 10**9)
