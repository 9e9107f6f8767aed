"""What the cells of a column are: whole numbers, decimals, percentages, dates or text.

A column is only something else than text if all its cells are. So nothing is lost: an article
number with leading zeros, a telephone number and a remark stay as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Value = int | float | str | None

_MOST_DIGITS = 18
"""Whole numbers up to here fit into 64 bits."""

_MISSING = frozenset({"", "-", "na", "n/a", "nan", "null", "none"})
"""How people write that a number or a date is missing."""

_CURRENCY = r"[$€£]"
_PLAIN = re.compile(r"-?(0|[1-9]\d*)?(?P<fraction>\.\d+)?([eE][+-]?\d{1,3})?")
_GROUPED = re.compile(r"-?[1-9]\d{0,2}(,\d{3})*(?P<fraction>\.\d+)?|-?0(\.\d+)?")
_COMMA = re.compile(r"-?[1-9]\d{0,2}(\.\d{3})*(?P<fraction>,\d+)?|-?(0|[1-9]\d*)(,\d+)?")
_PREFIX = re.compile(rf"(?P<sign>-?){_CURRENCY} ?|(?P<end> ?{_CURRENCY})$")

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?")
_POINT_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_SLASH_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a column holds.

    Attributes:
        sql: Its type in SQLite.
        label: For models; empty for text.
        convert: Makes a value of a cell.
    """

    sql: str
    label: str
    convert: Callable[[str], Value]


TEXT = Kind("TEXT", "", lambda cell: cell or None)


class KindGuess:
    """Finds out what a column holds while its cells go by."""

    def __init__(self, *, decimal_comma: bool) -> None:
        """Start with everything possible.

        Args:
            decimal_comma: Whether `1,234` is rather a fraction than a thousand.
        """
        styles = ("plain", "comma", "grouped") if decimal_comma else ("plain", "grouped", "comma")
        self._numbers = dict.fromkeys(styles, True)
        self._fractions = dict.fromkeys(styles, False)
        self._percent = self._iso = self._points = self._slashes = True
        self._first_part = self._second_part = 0
        self._cells = 0

    def look(self, cell: str) -> None:
        """Take note of a cell, without spaces around it."""
        if cell.lower() in _MISSING:
            return
        self._cells += 1
        self._percent = self._percent and cell.endswith("%")
        number = _bare(cell)
        for style, possible in self._numbers.items():
            if possible:
                match = _STYLES[style].fullmatch(number)
                fits = match is not None and _fits(number)
                self._numbers[style] = fits
                self._fractions[style] |= bool(match and match["fraction"]) or "e" in cell.lower()
        self._iso = self._iso and bool(_ISO_DATE.fullmatch(cell))
        self._points = self._points and _is_date(_POINT_DATE.fullmatch(cell))
        if self._slashes:
            match = _SLASH_DATE.fullmatch(cell)
            self._slashes = match is not None
            if match is not None:
                self._first_part = max(self._first_part, int(match[1]))
                self._second_part = max(self._second_part, int(match[2]))

    @property
    def kind(self) -> Kind:
        """What the cells so far have in common."""
        if self._cells == 0:
            return TEXT
        if self._iso:
            return Kind("TEXT", "date", _or_missing(str))
        if self._points:
            return Kind("TEXT", "date", _or_missing(lambda cell: _iso(cell, ".", day=0)))
        if self._slashes and (self._first_part > 12) != (self._second_part > 12):
            day = 0 if self._first_part > 12 else 1
            return Kind("TEXT", "date", _or_missing(lambda cell: _iso(cell, "/", day=day)))
        for style, possible in self._numbers.items():
            if possible:
                whole = not self._fractions[style]
                label = "percent" if self._percent else "number"
                return Kind("INTEGER" if whole else "REAL", label, _number(style, whole=whole))
        return TEXT


_STYLES: Mapping[str, re.Pattern[str]] = {"plain": _PLAIN, "grouped": _GROUPED, "comma": _COMMA}


def is_number(cell: str) -> bool:
    """Whether a cell alone looks like a number that is no year."""
    number = _bare(cell)
    year = re.fullmatch(r"(19|20)\d\d", number)
    return not year and any(p.fullmatch(number) for p in _STYLES.values()) and _fits(number)


def _bare(cell: str) -> str:
    """Return a number without its currency or percent sign."""
    return _PREFIX.sub(lambda match: match["sign"] or "", cell.removesuffix("%").rstrip(), count=1)


def _fits(number: str) -> bool:
    return any(map(str.isdigit, number)) and sum(map(str.isdigit, number)) <= _MOST_DIGITS


def _number(style: str, *, whole: bool) -> Callable[[str], Value]:
    def convert(cell: str) -> Value:
        number = _bare(cell)
        if style == "grouped":
            number = number.replace(",", "")
        elif style == "comma":
            number = number.replace(".", "").replace(",", ".")
        try:
            return int(number) if whole else float(number)
        except (ValueError, OverflowError):  # the file has changed since it was looked at
            return cell

    return _or_missing(convert)


def _or_missing(convert: Callable[[str], Value]) -> Callable[[str], Value]:
    return lambda cell: None if cell.lower() in _MISSING else convert(cell)


def _is_date(match: re.Match[str] | None) -> bool:
    return match is not None and 1 <= int(match[1]) <= 31 and 1 <= int(match[2]) <= 12


def _iso(cell: str, separator: str, *, day: int) -> str:
    parts = cell.split(separator)
    if len(parts) != 3:
        return cell
    return f"{parts[2]}-{int(parts[1 - day]):02}-{int(parts[day]):02}"
