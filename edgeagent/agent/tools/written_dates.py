"""Dates and periods as people write them, found in a text and read exactly.

`03/04/2025` is the 3rd of April in most of the world and the 4th of March in the United States:
such dates are refused with a sentence, unless only one reading is a date.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

from edgeagent.errors import ToolError

_MONTHS = {
    name.lower(): number
    for names in (calendar.month_name, calendar.month_abbr)
    for number, name in enumerate(names)
    if name
} | {"sept": 9}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True)).replace("may|", "").replace("|may", "")
# "may" with a small letter is a verb more often than a month.
_MONTH = rf"(?:(?i:{_MONTH})|May|MAY)"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_END = r"(?![\w/]|[-.]\d)"
_DATE = re.compile(
    rf"(?<![\w.,/-])(?:"
    rf"(?P<ymd>\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}})"
    rf"|(?P<numeric>\d{{1,2}}(?P<mark>[-/.])\d{{1,2}}(?P=mark)(?:\d{{4}}|\d{{2}}))"
    rf"|(?P<dmy>{_DAY}\s+(?:of\s+)?{_MONTH}\b\.?(?:,?\s+\d{{4}})?)"
    rf"|(?P<mdy>{_MONTH}\b\.?\s+(?:the\s+)?{_DAY}(?:,?\s+\d{{4}})?)"
    rf"|(?P<word>(?i:today|tomorrow|yesterday))"
    rf"){_END}"
)
_WORDS = {"today": 0, "now": 0, "tomorrow": 1, "yesterday": -1}

_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6} | {
    **{"seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12}
}
_UNITS = {"day": "days", "week": "weeks", "fortnight": "fortnights", "month": "months"} | {
    "quarter": "quarters",
    "year": "years",
    "decade": "decades",
}
_PART = (
    rf"(?P<number>\d{{1,3}}(?:,\d{{3}})+|\d{{1,7}}|{'|'.join(_NUMBERS)})[\s-]+"
    rf"(?P<unit>{'|'.join(_UNITS)})s?"
)
_PERIOD_PART = re.compile(_PART, re.IGNORECASE)
_PLAIN_PART = re.sub(r"\?P<\w+>", "?:", _PART)
_PERIOD = re.compile(
    rf"(?<![\w.,/-]){_PLAIN_PART}(?:(?:,?\s+and\s+|,?\s+){_PLAIN_PART})*\b", re.IGNORECASE
)
_MONTHS_IN = {"months": 1, "quarters": 3, "years": 12, "decades": 120}
_DAYS_IN = {"days": 1, "weeks": 7, "fortnights": 14}


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time of a calendar: months differ in length, so they are counted apart."""

    months: int
    days: int

    def after(self, start: date, sign: int = 1) -> date:
        """Return the date that is this much later, or earlier if `sign` is -1.

        A day that the month does not have becomes its last one: 31 January and a month is
        28 February.

        Raises:
            ToolError: It lies outside the years 1 to 9999.
        """
        month = start.year * 12 + start.month - 1 + sign * self.months
        year, month = divmod(month, 12)
        try:
            last = calendar.monthrange(year, month + 1)[1]
            moved = date(year, month + 1, min(start.day, last))
            return moved + timedelta(days=sign * self.days)
        except (ValueError, OverflowError, IndexError) as error:
            raise ToolError("that date is outside the years 1 to 9999") from error


@dataclass(frozen=True, slots=True)
class Written:
    """A date or a period in a text.

    Attributes:
        text: As written.
        start: Where it begins.
        end: Where it ends.
    """

    text: str
    start: int
    end: int


def find_dates(text: str) -> tuple[Written, ...]:
    """Return the dates of a text in order, ambiguous ones and `today` too."""
    return tuple(Written(match[0], *match.span()) for match in _DATE.finditer(text))


def find_periods(text: str) -> tuple[Written, ...]:
    """Return the periods of a text in order, such as `45 days` or `2 years and 3 months`."""
    return tuple(Written(match[0], *match.span()) for match in _PERIOD.finditer(text))


def parse_date(text: str, today: date) -> tuple[date, bool]:
    """Return a date, and whether its year was written.

    Args:
        text: A date and nothing else.
        today: What `today` means; its year completes dates without one.

    Raises:
        ToolError: It is no date, there is no such day, or it can be read in two ways.
    """
    text = text.strip().strip(".,").strip()
    if (days := _WORDS.get(text.lower())) is not None:
        return today + timedelta(days=days), True
    text = re.sub(r"\bmay\b", "May", text)
    match = _DATE.fullmatch(text)
    if match is None:
        raise ToolError(f"{text[:40]!r} is not a date; write dates such as 2025-03-31")
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    try:
        if match["ymd"]:
            return date(*numbers), True
        if match["numeric"]:
            return _numeric(text, match["mark"], *numbers), True
        month = _MONTHS[
            next(word for word in re.findall(r"[a-z]+", text.lower()) if word in _MONTHS)
        ]
        day, year = numbers[0], numbers[1] if len(numbers) > 1 else today.year
        return date(year, month, day), len(numbers) > 1
    except ValueError as error:
        raise ToolError(f"there is no such day as {text}") from error


def _numeric(text: str, mark: str, first: int, second: int, year: int) -> date:
    if year < 100:
        raise ToolError(f"write the year of {text} with four digits")
    if mark == "." or first > 12 or first == second:
        return date(year, second, first)  # with dots the day is first everywhere
    if second > 12:
        return date(year, first, second)
    readings = sorted((date(year, second, first), date(year, first, second)))
    raise ToolError(f"{text} can mean {readings[0]} or {readings[1]}; write the one that is meant")


def parse_period(text: str) -> Period:
    """Return a period.

    Raises:
        ToolError: It is none.
    """
    if _PERIOD.fullmatch(text.strip()) is None:
        raise ToolError(f"{text[:40]!r} is not a period; write periods such as 45 days or 2 weeks")
    months = days = 0
    for match in _PERIOD_PART.finditer(text):
        word = match["number"].lower()
        number = _NUMBERS.get(word)
        if number is None:
            number = int(word.replace(",", ""))
        unit = _UNITS[match["unit"].lower()]
        months += number * _MONTHS_IN.get(unit, 0)
        days += number * _DAYS_IN.get(unit, 0)
    return Period(months, days)


def format_date(day: date) -> str:
    """Return a date in words that nobody can misread."""
    return f"{day.day} {calendar.month_name[day.month]} {day.year}"
