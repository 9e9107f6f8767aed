from __future__ import annotations

import contextlib
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.agent.tools.dates import Dates
from edgeagent.agent.tools.protocol import Grounded
from edgeagent.agent.tools.written_dates import (
    find_dates,
    find_periods,
    format_date,
    parse_date,
    parse_period,
)
from edgeagent.errors import ToolError

TODAY = date(2026, 11, 22)
DATES = Dates(lambda: TODAY)


def run(expression: str) -> str:
    return DATES.run({"expression": expression})


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("days from 3 March 2025 to 17 May 2025", "From 3 March 2025 to 17 May 2025: 75 days"),
        ("days between 2025-03-03 and May 17th, 2025", "From 3 March 2025 to 17 May 2025: 75 days"),
        ("17 May 2025 - 3.3.2025", "From 3 March 2025 to 17 May 2025: 75 days"),
        (
            "weeks from 1 May 2024 to 1 June 2024",
            "From 1 May 2024 to 1 June 2024: 4 weeks and 3 days",
        ),
        (
            "months from 31 January 2025 to 1 March 2025",
            "From 31 January 2025 to 1 March 2025: 1 month and 1 day",
        ),
        (
            "years from 23 November 1990 to today",
            "From 23 November 1990 to 22 November 2026: 35 years",
        ),
        (
            "years from 22 November 1990 to today",
            "From 22 November 1990 to 22 November 2026: 36 years",
        ),
        ("days from 17 May 2025 to 3 March 2025", "3 March 2025 is 75 days before 17 May 2025"),
        ("days from today to 24 December", "From 22 November 2026 to 24 December 2026: 32 days"),
        ("days from today to 3 March", "From 22 November 2026 to 3 March 2027: 101 days"),
        ("days from 24 December to today", "From 24 December 2025 to 22 November 2026: 333 days"),
        ("10 June 2025 + 45 days", "Friday, 25 July 2025"),
        ("2025-03-01 - 6 weeks", "Saturday, 18 January 2025"),
        ("31 January 2025 + 1 month", "Friday, 28 February 2025"),
        ("29 Feb 2024 + a year", "Friday, 28 February 2025"),
        ("today + 2 years, 3 months and 1 day", "Friday, 23 February 2029"),
        ("45 days after 10 June 2025", "Friday, 25 July 2025"),
        ("two weeks before March 4, 2025", "Tuesday, 18 February 2025"),
        ("weekday of 4 July 1999", "4 July 1999: Sunday"),
        ("13/7/1999", "Tuesday, 13 July 1999"),
        ("7/13/1999", "Tuesday, 13 July 1999"),
        ("tomorrow", "Monday, 23 November 2026"),
    ],
)
def test_values(expression: str, result: str) -> None:
    assert run(expression) == result


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("weekday of 4/7/1999", "1999-04-07 or 1999-07-04"),
        ("04.05.25", "four digits"),
        ("30 February 2025", "no such day as 30 February 2025"),
        ("four days", "is not a date"),
        ("today + 3 apples", "is not a date"),
        ("9999-12-31 + 1 day", "outside the years"),
        ("today - 3000 years", "outside the years"),
        ("today + 9999999 decades", "outside the years"),
        ("29 February", "no such day"),
    ],
)
def test_what_is_no_date_is_said(expression: str, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        run(expression)


@given(st.dates(), st.integers(0, 4000))
def test_going_and_coming_back_agree(start: date, days: int) -> None:
    end = parse_period(f"{days} days").after(start) if start.year < 9980 else start
    written = format_date(end)
    if end.year >= 1000:
        assert parse_date(written, TODAY) == (end, True)
        assert parse_date(end.isoformat(), TODAY) == (end, True)
    if start.year >= 1000:
        count = (end - start).days
        text = run(f"days from {start.isoformat()} to {end.isoformat()}")
        assert text.endswith(f": {count} day" + ("" if count == 1 else "s"))


@given(st.text(max_size=100))
def test_any_text_gives_a_text_or_a_tool_error(text: str) -> None:
    with contextlib.suppress(ToolError):
        assert run(text)


def test_dates_and_periods_are_found_in_texts() -> None:
    text = (
        "On 3 March 2025, not 2025-03-04 or 1/2/2024, the May fair (4th of July) took 3 days; you "
        "may 5 times wait two weeks and 1 day. Version 1.2.3 of 12,5.2025 is from July 9, 2024."
    )
    assert [found.text for found in find_dates(text)] == [
        "3 March 2025",
        "2025-03-04",
        "1/2/2024",
        "4th of July",
        "July 9, 2024",
    ]
    assert [found.text for found in find_periods(text)] == ["3 days", "two weeks and 1 day"]
    assert all(text[found.start : found.end] == found.text for found in find_dates(text))


@pytest.mark.parametrize(
    ("question", "results", "expressions"),
    [
        (
            "How many days are there between 3 March 2025 and 17 May 2025?",
            (),
            ["days from 3 March 2025 to 17 May 2025"],
        ),
        ("What date is 45 days after 10 June 2025?", (), ["10 June 2025 + 45 days"]),
        ("On which day of the week was 4 July 1999?", (), ["weekday of 4 July 1999"]),
        ("How many weeks are left until 24 December?", (), ["weeks from today to 24 December"]),
        ("What is the date in 10 days?", (), ["today + 10 days"]),
        ("What was the date 3 weeks ago?", (), ["today - 3 weeks"]),
        ("How old is somebody born on 3 May 1990?", (), ["years from 3 May 1990 to today"]),
        ("What day is it today?", (), ["weekday of today"]),
        (
            "How many days is it until the fair?",
            ("The fair begins on 9 October 2027.",),
            ["days from today to 9 October 2027"],
        ),
        ("I feel bad today.", (), []),
        ("How many days of leave do I get?", (), []),
        ("The rent is 945 dollars a month. What is it for 18 months?", (), []),
        ("May I go on 5 trips in 3 days?", (), []),
        ("Who founded the mill?", ("It was founded on 3 May 1990.",), []),
    ],
)
def test_it_offers_what_was_said(
    question: str, results: tuple[str, ...], expressions: list[str]
) -> None:
    assert isinstance(DATES, Grounded)
    schema = DATES.offer(question, results)
    offered = []
    if schema is not None:
        properties = schema["properties"]
        assert isinstance(properties, dict)
        pattern = properties["expression"]["pattern"]
        offered = re.sub(r"\\(.)", r"\1", pattern.removeprefix("^(").removesuffix(")$")).split("|")
    assert offered == expressions
    for expression in offered:
        assert run(expression)


def test_its_description_shows_what_it_understands() -> None:
    shown = re.findall(r"'([^']+)'", Dates.description)
    assert len(shown) == 3
    assert [run(expression) for expression in shown] == [
        "From 1 March 2025 to 22 November 2026: 631 days",
        "Saturday, 12 April 2025",
        "1 March 2025: Saturday",
    ]
