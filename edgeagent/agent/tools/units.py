"""Units of measurement with exact factors: what words mean which unit.

Factors are exact by definition. Their sources: the SI brochure of the BIPM (9th edition) for SI
units and those used with them; NIST Special Publication 811, appendix B, for feet, pounds, gallons
and what is made of them; IEC 80000-13 for kibibyte and its kin. US gallons, pints and cups are
meant unless `imperial` stands before them. A word that means different units in different places
is refused with the words to use instead: a wrong ton is worse than no ton.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from edgeagent.errors import ToolError

Dimensions = tuple[tuple[str, int], ...]
"""Exponents of base dimensions, sorted by name; `()` is a plain number."""

MAX_WORDS = 3
"""Words of the longest name, `british thermal unit`."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as somebody wrote it.

    Attributes:
        label: As written.
        factor: Its size in base units: m, kg, s, K, bit, month.
        dims: What it measures.
        offset: Its zero in base units; other than 0 for °C and °F only.
    """

    label: str
    factor: Fraction
    dims: Dimensions
    offset: Fraction = Fraction(0)


def dimensions(**exponents: int) -> Dimensions:
    """Return dimensions from the exponents of base dimensions."""
    return tuple(sorted((name, power) for name, power in exponents.items() if power))


def combine(first: Dimensions, second: Dimensions, times: int = 1) -> Dimensions:
    """Return the dimensions of `first * second ** times`."""
    exponents = dict(first)
    for name, power in second:
        exponents[name] = exponents.get(name, 0) + power * times
    return dimensions(**exponents)


_LENGTH, _AREA, _VOLUME = (dimensions(length=power) for power in (1, 2, 3))
_MASS, _TIME, _TEMPERATURE = (dimensions(**{name: 1}) for name in ("mass", "time", "temperature"))
_DATA, _RATE = dimensions(data=1), dimensions(data=1, time=-1)
_CALENDAR = dimensions(calendar=1)
_SPEED = dimensions(length=1, time=-1)
_ENERGY = dimensions(mass=1, length=2, time=-2)
_POWER = dimensions(mass=1, length=2, time=-3)
_PRESSURE = dimensions(mass=1, length=-1, time=-2)
_FORCE = dimensions(mass=1, length=1, time=-2)

_KINDS = {
    (): "a plain number",
    _LENGTH: "a length",
    _AREA: "an area",
    _VOLUME: "a volume",
    _MASS: "a mass",
    _TIME: "a time",
    _TEMPERATURE: "a temperature",
    _DATA: "an amount of data",
    _RATE: "a data rate",
    _CALENDAR: "a number of calendar months",
    _SPEED: "a speed",
    _ENERGY: "an energy",
    _POWER: "a power",
    _PRESSURE: "a pressure",
    _FORCE: "a force",
}

_PREFIXES = {
    "T": ("tera", Fraction(10**12)),
    "G": ("giga", Fraction(10**9)),
    "M": ("mega", Fraction(10**6)),
    "k": ("kilo", Fraction(1000)),
    "h": ("hecto", Fraction(100)),
    "d": ("deci", Fraction(1, 10)),
    "c": ("centi", Fraction(1, 100)),
    "m": ("milli", Fraction(1, 1000)),
    "µ": ("micro", Fraction(1, 10**6)),
    "n": ("nano", Fraction(1, 10**9)),
    "Ki": ("kibi", Fraction(2**10)),
    "Mi": ("mebi", Fraction(2**20)),
    "Gi": ("gibi", Fraction(2**30)),
    "Ti": ("tebi", Fraction(2**40)),
}

_FOOT = Fraction("0.3048")
_MILE = 5280 * _FOOT
_POUND = Fraction("0.45359237")
_GALLON = 231 * (_FOOT / 12) ** 3
_IMPERIAL_GALLON = Fraction("0.00454609")
_GRAVITY = Fraction("9.80665")

_UNITS: tuple[tuple[Dimensions, Fraction, str, str, str], ...] = (
    # dimensions, size in base units, symbols, names without plural s, prefixes
    (_LENGTH, Fraction(1), "m", "metre meter", "k d c m µ n"),
    (_LENGTH, _FOOT / 12, "in", "inch inches", ""),
    (_LENGTH, _FOOT, "ft", "foot feet", ""),
    (_LENGTH, 3 * _FOOT, "yd", "yard", ""),
    (_LENGTH, _MILE, "mi", "mile", ""),
    (_LENGTH, Fraction(1852), "nmi", "nautical_mile", ""),
    (_AREA, Fraction(10**4), "ha", "hectare", ""),
    (_AREA, 4840 * (3 * _FOOT) ** 2, "ac", "acre", ""),
    (_VOLUME, Fraction(1, 1000), "l L", "litre liter", "h d c m µ"),
    (_VOLUME, Fraction(1, 10**6), "cc", "", ""),
    (_VOLUME, _GALLON, "gal", "gallon us_gallon", ""),
    (_VOLUME, _GALLON / 4, "qt", "quart us_quart", ""),
    (_VOLUME, _GALLON / 8, "pt", "pint us_pint", ""),
    (_VOLUME, _GALLON / 16, "", "cup us_cup", ""),
    (_VOLUME, _GALLON / 128, "floz fl_oz", "fluid_ounce us_fluid_ounce", ""),
    (_VOLUME, _GALLON / 256, "tbsp", "tablespoon", ""),
    (_VOLUME, _GALLON / 768, "tsp", "teaspoon", ""),
    (_VOLUME, _IMPERIAL_GALLON, "", "imperial_gallon", ""),
    (_VOLUME, _IMPERIAL_GALLON / 8, "", "imperial_pint", ""),
    (_VOLUME, _IMPERIAL_GALLON / 160, "", "imperial_fluid_ounce", ""),
    (_VOLUME, 42 * _GALLON, "bbl", "barrel", ""),
    (_MASS, Fraction(1, 1000), "g", "gram gramme", "k d c m µ n"),
    (_MASS, Fraction(1000), "t", "tonne metric_ton", ""),
    (_MASS, _POUND, "lb lbs", "pound", ""),
    (_MASS, _POUND / 16, "oz", "ounce", ""),
    (_MASS, 14 * _POUND, "st", "stone", ""),
    (_MASS, 2000 * _POUND, "", "short_ton us_ton", ""),
    (_MASS, 2240 * _POUND, "", "long_ton imperial_ton", ""),
    (_MASS, Fraction(2, 10**4), "ct", "carat", ""),
    (_TIME, Fraction(1), "s sec", "second", "m µ n"),
    (_TIME, Fraction(60), "min", "minute", ""),
    (_TIME, Fraction(3600), "h hr hrs", "hour", ""),
    (_TIME, Fraction(86400), "d", "day", ""),
    (_TIME, Fraction(7 * 86400), "wk", "week", ""),
    (_TIME, Fraction(14 * 86400), "", "fortnight", ""),
    # A month has no fixed length, but a year has twelve of them.
    (_CALENDAR, Fraction(1), "", "month", ""),
    (_CALENDAR, Fraction(3), "", "quarter_year", ""),
    (_CALENDAR, Fraction(12), "yr yrs", "year", ""),
    (_CALENDAR, Fraction(120), "", "decade", ""),
    (_CALENDAR, Fraction(1200), "", "century centuries", ""),
    (_TEMPERATURE, Fraction(1), "K", "kelvin", ""),
    (_DATA, Fraction(1), "bit", "bit", "k M G T Ki Mi Gi Ti"),
    (_DATA, Fraction(8), "B", "byte", "k M G T Ki Mi Gi Ti"),
    (_RATE, Fraction(1), "bps", "", "k M G"),
    (_RATE, Fraction(8), "Bps", "", "k M G"),
    (_SPEED, Fraction(1000, 3600), "kmh kph", "", ""),
    (_SPEED, _MILE / 3600, "mph", "", ""),
    (_SPEED, Fraction(1852, 3600), "kn kt", "knot", ""),
    (_FORCE, Fraction(1), "N", "newton", "k M"),
    (_FORCE, _POUND * _GRAVITY, "lbf", "", ""),
    (_ENERGY, Fraction(1), "J", "joule", "k M G m"),
    (_ENERGY, Fraction(3600), "Wh", "watt_hour watthour", "k M G m"),
    (_ENERGY, Fraction("4.184"), "cal", "calorie", "k"),
    (_ENERGY, Fraction("1055.05585262"), "Btu BTU", "british_thermal_unit", ""),
    (_POWER, Fraction(1), "W", "watt", "k M G m"),
    (_POWER, 550 * _FOOT * _POUND * _GRAVITY, "hp", "horsepower", ""),
    (_POWER, 75 * _GRAVITY, "PS", "metric_horsepower", ""),
    (_PRESSURE, Fraction(1), "Pa", "pascal", "h k M G"),
    (_PRESSURE, Fraction(10**5), "bar", "", "m"),
    (_PRESSURE, Fraction(101325), "atm", "atmosphere", ""),
    (_PRESSURE, Fraction(101325, 760), "Torr torr", "", ""),
    (_PRESSURE, Fraction("133.322387415"), "mmHg", "", ""),
    (_PRESSURE, _POUND * _GRAVITY / (_FOOT / 12) ** 2, "psi", "", ""),
)

_ZERO_CELSIUS = Fraction("273.15")
_FAHRENHEIT = Fraction(5, 9)
_DEGREES = {
    "celsius °c degree_celsius degrees_celsius degree_c degrees_c centigrade": (
        Fraction(1),
        _ZERO_CELSIUS,
    ),
    "fahrenheit °f degree_fahrenheit degrees_fahrenheit degree_f degrees_f": (
        _FAHRENHEIT,
        _ZERO_CELSIUS - 32 * _FAHRENHEIT,
    ),
}

_AMBIGUOUS = {
    **dict.fromkeys(("ton", "tons"), "tonne, short ton or long ton"),
    **dict.fromkeys(("Cal", "Calorie", "Calories"), "kcal or cal"),
    **{f"{prefix}b": f"{prefix}bit or {prefix}B" for prefix in "kKMGT"},
    "k": "K for kelvin, or the number in full",
}


def kind(dims: Dimensions) -> str:
    """Return what such a quantity is, with its article."""
    return _KINDS.get(dims, "a quantity of another kind")


def find_unit(words: Sequence[str]) -> tuple[Unit, int] | None:
    """Return the unit that a text begins with, and how many of its words name it.

    Args:
        words: The next words, at least `MAX_WORDS` if there are as many.

    Raises:
        ToolError: The word means different units.
    """
    for count in range(min(MAX_WORDS, len(words)), 0, -1):
        key = "_".join(words[:count])
        if (found := _lookup(key)) is not None:
            factor, dims, offset = found
            return Unit(" ".join(words[:count]), factor, dims, offset), count
    return None


def _lookup(key: str) -> tuple[Fraction, Dimensions, Fraction] | None:
    symbols, names = _tables()
    if key in _AMBIGUOUS:
        raise ToolError(f"{key!r} is ambiguous; write {_AMBIGUOUS[key]}")
    if (exact := symbols.get(key)) is not None:
        return exact
    lower = key.lower()
    if (named := names.get(lower)) is not None:
        return named
    if len(key) == 1:
        return None
    # People write Km and KWH. Where letters of another case mean another unit, nobody can tell.
    similar = {symbol: value for symbol, value in symbols.items() if symbol.lower() == lower}
    if len(set(similar.values())) > 1:
        raise ToolError(f"{key!r} is ambiguous; write {' or '.join(similar)}")
    return next(iter(similar.values()), None)


_Meaning = tuple[Fraction, Dimensions, Fraction]


@cache
def _tables() -> tuple[dict[str, _Meaning], dict[str, _Meaning]]:
    """Return what symbols mean, which depends on their case, and names, which does not."""
    symbols: dict[str, _Meaning] = {}
    names: dict[str, _Meaning] = {}
    for dims, size, symbol_text, name_text, prefixes in _UNITS:
        for symbol, name, factor in _prefixed(prefixes.split()):
            meaning = (size * factor, dims, Fraction(0))
            for word in symbol_text.split():
                symbols[symbol + word] = meaning
            for word in name_text.split():
                names[name + word] = names[f"{name}{word}s"] = meaning
    symbols |= {f"u{symbol[1:]}": value for symbol, value in symbols.items() if symbol[0] == "µ"}
    for words, (size, offset) in _DEGREES.items():
        meaning = (size, _TEMPERATURE, offset)
        names |= dict.fromkeys(words.split(), meaning)
        symbols[words[0].upper()] = meaning
    return symbols, names


def _prefixed(prefixes: Sequence[str]) -> Iterator[tuple[str, str, Fraction]]:
    yield "", "", Fraction(1)
    for symbol in prefixes:
        name, factor = _PREFIXES[symbol]
        yield symbol, name, factor
        if symbol == "k":
            yield "K", name, factor  # common in data and harmless elsewhere
