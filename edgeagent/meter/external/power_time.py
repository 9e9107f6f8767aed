"""Times as power meters write them: plain numbers, ISO 8601, dates of several styles, clock times.

All become seconds. Only differences are used, so no time zone matters as long as it stays the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime

_CLOCK = re.compile(
    r"(?:(?P<days>\d+)[.:])??(?P<h>\d{1,4}):(?P<m>[0-5]?\d):(?P<s>[0-5]?\d(?:[.,:]\d+)?)"
)
_FORMATS = (
    "%Y/%m/%d %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S.%f",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S.%f",
    "%m/%d/%Y %H:%M:%S",
)
_EPOCH_MS = 1e11
"""Numbers above are milliseconds since 1970, whatever the header says; as seconds they would be
after the year 5000."""

_DAY_S = 86400.0

ReadTime = Callable[[str], float]
"""Returns seconds; raises `ValueError`."""


def number(text: str) -> float:
    """Return a finite number with a decimal point or a decimal comma; raises `ValueError`.

    A text with both is refused: `1,234.5` and `1.234,5` cannot be told from each other's style.
    """
    if "," in text:
        if "." in text or text.count(",") > 1:
            raise ValueError("a number with separators of thousands")
        text = text.replace(",", ".")
    if "_" in text:  # Python's own notation, and nobody else's
        raise ValueError("not a number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def time_reader(example: str, factor: float) -> ReadTime:
    """Return what reads times that look like `example`.

    Args:
        example: The first time of a table.
        factor: Seconds per unit, for plain numbers.

    Raises:
        ValueError: No known style.
    """
    if _CLOCK.fullmatch(example):
        return _Clock()
    try:
        first = number(example)
    except ValueError:
        return _date_reader(example)
    if first > _EPOCH_MS and factor == 1.0:
        factor = 1e-3
    return lambda text: number(text) * factor


def _date_reader(example: str) -> ReadTime:
    for read in (_iso, *(_formatted(style) for style in _FORMATS)):
        try:
            read(example)
        except ValueError:
            continue
        return read
    raise ValueError(f"{example[:40]!r} is not a time")


def _iso(text: str) -> float:
    return _seconds(datetime.fromisoformat(text.replace(",", ".")))


def _formatted(style: str) -> ReadTime:
    return lambda text: _seconds(datetime.strptime(text.replace(",", "."), style))


def _seconds(moment: datetime) -> float:
    """Return seconds since 1970; without a zone the clock is taken as it is, without jumps."""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


class _Clock:
    """Reads `H:MM:SS`, with fractions and days; a time of day goes on behind midnight."""

    def __init__(self) -> None:
        self._days = 0
        self._last_s = -math.inf

    def __call__(self, text: str) -> float:
        match = _CLOCK.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} is not a time like the ones before")
        seconds = float(re.sub("[,:]", ".", match["s"]))
        value = int(match["days"] or 0) * _DAY_S + int(match["h"]) * 3600 + int(match["m"]) * 60
        value += seconds + self._days * _DAY_S
        # Half a day back is midnight; less is a clock that was set back, or a second recording.
        if match["days"] is None and value < self._last_s - _DAY_S / 2:
            self._days += 1
            value += _DAY_S
        self._last_s = value
        return value
