from __future__ import annotations

from fractions import Fraction

import pytest

from edgeagent.agent.tools.arithmetic import evaluate
from edgeagent.agent.tools.units import find_unit
from edgeagent.errors import ToolError


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("5 km in miles", "3.106856 miles"),
        ("26.2 miles to km", "42.1648128 km"),
        ("5 in in cm", "12.7 cm"),
        ("11 in to cm", "27.94 cm"),
        ("5 ft 11 in in cm", "180.34 cm"),
        ("5 feet and 11 inches in metres", "1.8034 metres"),
        ("3 h 20 min in minutes", "200 minutes"),
        ("3 h 20 min + 50 min in hours", "4.166667 hours"),
        ("72 °F in °C", "22.22222 °C"),
        ("-40 °C to fahrenheit", "-40 fahrenheit"),
        ("20 degrees Celsius in K", "293.15 K"),
        ("2 kg + 300 g", "2.3 kg"),
        ("12 stone in kg", "76.20351816 kg"),
        ("100 km / 2 h", "50 km/h"),
        ("100 km / 2 h in m/s", "13.88889 m/s"),
        ("60 km/h * 45 min in km", "45 km"),
        ("20 litres per minute * 3 hours in litres", "3600 litres"),
        ("2 litres / 250 ml", "8"),
        ("6 * 750 ml in litres", "4.5 litres"),
        ("1 mile in feet", "5280 feet"),
        ("1/2 mile in feet", "2640 feet"),
        ("3 m * 4 m", "12 m^2"),
        ("10 m2 in sq ft", "107.6391 sq ft"),
        ("1 acre in square metres", "4046.856 square metres"),
        ("1 cubic metre in litres", "1000 litres"),
        ("1 gallon in litres", "3.785411784 litres"),
        ("1 imperial gallon in litres", "4.54609 litres"),
        ("1 GiB in MB", "1073.741824 MB"),
        ("100 Mbit in MB", "12.5 MB"),
        ("700 MB / 50 Mbps in s", "112 s"),
        ("5 kWh in MJ", "18 MJ"),
        ("2000 W * 3 h in kWh", "6 kWh"),
        ("250 kcal in kJ", "1046 kJ"),
        ("1 hp in W", "745.6999 W"),
        ("1 atm in psi", "14.69595 psi"),
        ("30 psi in bar", "2.068427 bar"),
        ("10 knots in km/h", "18.52 km/h"),
        ("2.5 years in months", "30 months"),
        ("1 fortnight in days", "14 days"),
        ("17 km % 5 km", "2 km"),
        ("7 km // 2 km", "3"),
        ("80 kg - 15%", "68 kg"),
        ("15% of 80 kg", "12 kg"),
        ("max(3 h, 200 min)", "200 min"),
        ("min(3 h, 200 min)", "3 h"),
        ("sum(1 km, 200 m)", "1.2 km"),
        ("round(5.678 km, 1)", "5.7 km"),
        ("sqrt(9 m^2)", "3 m"),
        ("(2 m)^3 in litres", "8000 litres"),
        ("3.5 KG in lbs", "7.716179 lbs"),
        ("5 µm in nm", "5000 nm"),
        ("0.5 cm² in mm²", "50 mm²"),
    ],
)
def test_values(expression: str, value: str) -> None:
    assert evaluate(expression).text() == value


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("5 km in kg", "a length and kg is a mass"),
        ("5 km + 2 h", "a length and 2 h is a time"),
        ("5 in cm", "a plain number"),
        ("2 months in days", "use dates"),
        ("1 ton in kg", "ambiguous; write tonne"),
        ("5 Mb in kB", "Mbit or MB"),
        ("5 mw in W", "ambiguous; write .*mW"),
        ("20 °C + 5 °C", "converted, but not computed"),
        ("2 * 20 °C", "converted, but not computed"),
        ("2 ^ (3 m)", "exponent"),
        ("5 km / (2 km - 2000 m)", "zero"),
        ("5 km in", "not a unit"),
        ("5 km in parsnips", "'parsnips' is not a unit"),
        ("sqrt(3 m)", "no square root"),
        ("5 crowns in dollars", "unexpected 'crowns'"),
        ("(10 km)^200", "too large"),
    ],
)
def test_what_does_not_go_together_is_said(expression: str, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        evaluate(expression)


def test_factors_are_exact() -> None:
    for text, factor in {
        "inch": Fraction(254, 10000),
        "pounds": Fraction(45359237, 10**8),
        "psi": Fraction(8896443230521, 1290320000),
        "hp": Fraction("745.69987158227022"),
    }.items():
        found = find_unit([text])
        assert found is not None
        assert found[0].factor == factor


@pytest.mark.parametrize("words", [["crowns"], [], ["x"], ["k9"]])
def test_other_words_are_no_units(words: list[str]) -> None:
    assert find_unit(words) is None


def test_names_of_several_words_win() -> None:
    found = find_unit(["fluid", "ounces", "in"])
    assert found is not None
    assert (found[0].label, found[1]) == ("fluid ounces", 2)
