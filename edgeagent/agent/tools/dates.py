"""The dates tool: how long between two dates, what date comes after a period, which weekday."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date

from edgeagent.agent.tools.protocol import (
    JsonSchema,
    object_schema,
    pattern_schema,
    string_argument,
    text_schema,
)
from edgeagent.agent.tools.written_dates import (
    find_dates,
    find_periods,
    format_date,
    parse_date,
    parse_period,
)
from edgeagent.errors import ToolError

MAX_OFFERED = 24
"""Expressions that a grammar for grounded models lists at most."""

_COUNTED = ("days", "weeks", "months", "years")
_BETWEEN = re.compile(
    rf"(?:(?P<unit>{'|'.join(_COUNTED)})\s+)?(?:from|between)\s+(?P<first>.+?)\s+"
    r"(?:to|and|until|till)\s+(?P<second>.+)",
    re.IGNORECASE,
)
_MOVED = re.compile(r"(?P<date>.+?)\s*(?P<sign>\s-|\+)\s*(?P<other>.+)")
_BEFORE_AFTER = re.compile(
    r"(?P<period>.+?)\s+(?P<word>after|from|before)\s+(?P<date>.+)", re.IGNORECASE
)
_WEEKDAY = re.compile(r"(?:weekday|day)\s+of\s+(?P<date>.+)", re.IGNORECASE)

_ASKS_HOW_LONG = re.compile(
    r"\bhow\s+(?:many\s+(?P<unit>days|weeks|months|years)|(?P<old>old)|long)\b", re.IGNORECASE
)
_ASKS_DAY = re.compile(
    r"\b(?:what|which)\s+(?:day|weekday|date)\b|\bday of the week\b"
    r"|\bwhat\s+(?:is|was|will\s+be)\s+the\s+(?:date|day)\b",
    re.IGNORECASE,
)
_TO_TODAY = re.compile(
    r"\b(?:until|till|to go|left|away|from now|since|ago|old|passed)\b", re.IGNORECASE
)
_LATER = re.compile(r"\b(?:after|later|in|from|following|hence|due|until)\b", re.IGNORECASE)
_EARLIER = re.compile(r"\b(?:before|earlier|ago|prior|previous)\b", re.IGNORECASE)


class Dates:
    """Computes with the proleptic Gregorian calendar of Python's `datetime`.

    It has no worked examples: its description has the forms of its argument, grounded models are
    offered whole expressions, and two examples in every prompt cost a task of the core suite.
    """

    name = "dates"
    is_delegate = False
    description = (
        "Compute with dates: 'days from 2025-03-01 to today' (or weeks, months, years), "
        "'2025-03-01 + 6 weeks', 'weekday of 1 March 2025'. Use it for every question about "
        "dates."
    )
    parameters = object_schema(expression=text_schema("Dates and periods in such a form", 80))

    def __init__(self, today: Callable[[], date] = date.today) -> None:
        """Compute; `today` says what day it is."""
        self._today = today

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to compute with the dates and periods that were said."""
        expressions = dict.fromkeys(_expressions(question, " \n".join(results)))
        if not expressions:
            return None
        listed = "|".join(re.escape(text) for text in list(expressions)[:MAX_OFFERED])
        return object_schema(expression=pattern_schema("", listed))

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return the value of `expression`.

        Raises:
            ToolError: It is not about dates, or a date in it can be read in two ways.
        """
        text = " ".join(string_argument(arguments, "expression").rstrip("?=").split())
        if match := _BETWEEN.fullmatch(text):
            return self._between(match["first"], match["second"], (match["unit"] or "days").lower())
        if match := _WEEKDAY.fullmatch(text):
            day = self._date(match["date"])
            return f"{format_date(day)}: {calendar.day_name[day.weekday()]}"
        if match := _MOVED.fullmatch(text):
            if find_periods(match["other"]):
                sign = 1 if match["sign"] == "+" else -1
                return self._moved(match["date"], match["other"], sign)
            return self._between(match["other"], match["date"], "days")
        if match := _BEFORE_AFTER.fullmatch(text):
            sign = -1 if match["word"].lower() == "before" else 1
            return self._moved(match["date"], match["period"], sign)
        day = self._date(text)
        return f"{calendar.day_name[day.weekday()]}, {format_date(day)}"

    def _date(self, text: str) -> date:
        return parse_date(text, self._today())[0]

    def _moved(self, start: str, period: str, sign: int) -> str:
        day = parse_period(period).after(self._date(start), sign)
        return f"{calendar.day_name[day.weekday()]}, {format_date(day)}"

    def _between(self, first: str, second: str, unit: str) -> str:
        today = self._today()
        (start, start_is_full), (end, end_is_full) = (
            parse_date(text, today) for text in (first, second)
        )
        # Without a year, what is counted from today is to come, and what is counted to today past.
        if start == today and end < today and not end_is_full:
            end = _with_year(end, today.year + 1)
        if end == today and start > today and not start_is_full:
            start = _with_year(start, today.year - 1)
        if start <= end:
            return f"From {format_date(start)} to {format_date(end)}: {_count(start, end, unit)}"
        count = _count(end, start, unit)
        return f"{format_date(end)} is {count} before {format_date(start)}"


def _with_year(day: date, year: int) -> date:
    try:
        return day.replace(year=year)
    except ValueError as error:
        raise ToolError(f"there is no such day in {year}; write the year") from error


def _count(start: date, end: date, unit: str) -> str:
    """Return how much time lies between two dates, whole units and the days that are left."""
    days = (end - start).days
    if unit == "days":
        return _many(days, "day")
    if unit == "weeks":
        return _with_rest(days // 7, "week", days % 7)
    months = (end.year - start.year) * 12 + end.month - start.month
    whole = parse_period(f"{months} months").after(start) if months else start
    if whole > end:
        months -= 1
        whole = parse_period(f"{months} months").after(start) if months else start
    if unit == "years":
        return _many(months // 12, "year")  # full years, as ages are told
    return _with_rest(months, "month", (end - whole).days)


def _with_rest(number: int, unit: str, days: int) -> str:
    return _many(number, unit) + (f" and {_many(days, 'day')}" if days else "")


def _many(number: int, unit: str) -> str:
    return f"{number} {unit}" + ("" if number == 1 else "s")


def _expressions(question: str, said: str) -> list[str]:
    """Return what can be asked of these dates and periods, most likely first."""
    asked_dates, said_dates = (
        [found.text for found in find_dates(text)] for text in (question, said)
    )
    dates = list(dict.fromkeys((*asked_dates, *said_dates)))
    periods = [found.text for found in find_periods(question)]
    how_long = _ASKS_HOW_LONG.search(question)
    found: list[str] = []
    if periods and not how_long:
        starts = dates or ["today"] * bool(re.search(r"\b(?:ago|in|from now)\b", question, re.I))
        signs = [
            sign
            for sign, direction in (("+", _LATER), ("-", _EARLIER))
            if direction.search(question)
        ]
        asks = _ASKS_DAY.search(question) or re.search(r"\bwhen\b", question, re.I)
        if asks:
            found += [
                f"{start} {sign} {period}"
                for period in periods
                for start in starts
                for sign in signs or ("+", "-")
            ]
    if how_long:
        unit = "years" if how_long["old"] else (how_long["unit"] or "days").lower()
        units = [unit] if how_long["unit"] or how_long["old"] else list(_COUNTED)
        pairs = [(a, b) for index, a in enumerate(dates) for b in dates[index + 1 :]]
        if not pairs and dates and _TO_TODAY.search(question):
            past = re.search(r"\b(?:since|ago|old|passed)\b", question, re.I)
            pairs = [(day, "today") if past else ("today", day) for day in dates]
        found += [f"{unit} from {a} to {b}" for a, b in pairs for unit in units]
    if not found and _ASKS_DAY.search(question):
        found += [f"weekday of {day}" for day in dates if asked_dates or said]
    return found
