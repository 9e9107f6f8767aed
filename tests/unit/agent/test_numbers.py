from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.agent.numbers import numbers_in, spelled_numbers_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("no digits here", []),
        ("It is 42.", [42]),
        ("1,234.5", [1234.5]),
        ("12,345,678", [12345678]),
        ("1, 2, 3", [1, 2, 3]),
        ("1,2345", [1, 2345]),
        ("1\u202f234 and 5\u00a0678", [1234, 5678]),
        ("1 234", [1, 234]),
        ("$12 or €3.50", [12, 3.5]),
        ("US$12", [12]),
        ("12% (or 12 %)", [12, 12]),
        ("12kg, 3km and 45ml", [12, 3, 45]),
        ("the 12th", [12]),
        ("**42**, _43_ and `44`", [42, 43, 44]),
        (r"\boxed{42} and 4{,}556", [42, 4556]),
        ("So...42", [42]),
        (".5 and 0.25", [0.5, 0.25]),
        ("1.2e3 and 3E-2", [1200, 0.03]),
        ("12e", [12]),
        ("\uff14\uff12", [42]),
        ("9:45", [9, 45]),
    ],
)
def test_plain_numbers(text: str, expected: list[float]) -> None:
    assert numbers_in(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-3", [-3]),
        ("\u22123 and \uff0d4", [-3, -4]),
        ("-$12 and $-12", [-12, -12]),
        ("x = -7.", [-7]),
        ("(-2)", [-2]),
        ("10-12", [10, 12]),
        ("10 - 12", [10, 12]),
        ("(5)-3", [5, 3]),
        ("- 3 apples", [3]),
        ("10\u201312", [10, 12]),
    ],
)
def test_minus_signs(text: str, expected: list[float]) -> None:
    assert numbers_in(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3/4", [0.75]),
        ("3/4.", [0.75]),
        ("-3/4", [-0.75]),
        ("2 1/2 cups", [2.5]),
        ("½", [0.5]),
        ("2½ cups", [2.5]),
        ("1248/16", [1248, 16]),
        ("3/0", [3, 0]),
        ("1/2/2024", [1, 2, 2024]),
    ],
)
def test_fractions(text: str, expected: list[float]) -> None:
    assert numbers_in(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 km2", [50]),
        ("50 km²", [50]),
        ("50 m^2", [50]),
        ("50 m^{2}", [50]),
        ("3 s^-1", [3]),
        ("CO2 and H₂O", []),
        ("v1.2", []),
        ("version 1.2.3", [1.2]),
    ],
)
def test_digits_that_belong_to_a_unit_or_a_name(text: str, expected: list[float]) -> None:
    assert numbers_in(text) == expected


def test_a_number_too_large_for_a_float_is_left_out() -> None:
    assert numbers_in(f"{'9' * 400} then 7") == [7]
    assert numbers_in(f"1/{'9' * 400}") == [1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Forty-two", [42]),
        ("forty two.", [42]),
        ("three hundred and five", [305]),
        ("a hundred", [100]),
        ("nineteen hundred", [1900]),
        ("two thousand five hundred and three", [2503]),
        ("one hundred thousand", [100000]),
        ("five six", [5, 6]),
        ("twenty eleven", [20, 11]),
        ("one hundred one hundred", [101, 100]),
        ("two and three", [2, 3]),
        ("someone and often", []),
        ("zero", [0]),
    ],
)
def test_spelled_numbers(text: str, expected: list[float]) -> None:
    assert spelled_numbers_in(text) == expected


@given(st.integers(-(10**12), 10**12))
def test_integers_are_read_back_with_and_without_grouping(value: int) -> None:
    assert numbers_in(f"The result is {value}.") == [value]
    assert numbers_in(f"The result is {value:,}, I think.") == [value]


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=2))
def test_prices_are_read_back(value: object) -> None:
    assert numbers_in(f"{value} dollars") == [float(str(value))]


@given(st.text() | st.text(alphabet="0123456789.,-/^$% e½²\u202f"))
def test_any_text_gives_finite_numbers(text: str) -> None:
    assert all(math.isfinite(value) for value in numbers_in(text))


@given(st.lists(st.sampled_from(["one", "nine", "twenty", "hundred", "thousand", "and", "the"])))
def test_any_number_words_give_numbers_below_a_million(words: list[str]) -> None:
    assert all(0 < value < 1e6 for value in spelled_numbers_in(" ".join(words)))
