"""Which columns of a power meter's table are time, power, voltage and current, and in which units.

Names are those that tools really write: Monsoon (`Time (s)`, `Main Avg Power (mW)`), USB-C testers
(`Time`, `Voltage(V)`, `Current(A)`, `Power(W)`), `time_ms`, `watts`, `P [W]` and the like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeagent.errors import ConfigError

_SI = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3}
_TIME_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minutes"), 60.0),
}
_BASE_UNITS = {"power": "w", "voltage": "v", "current": "a"}
_UNIT_WORDS = {"watt": "w", "watts": "w", "volt": "v", "volts": "v", "amp": "a", "amps": "a"}

_WORDS = {
    "time": {"time", "t", "timestamp", "elapsed", "datetime", "runtime", "epoch", "unixtime"},
    "power": {"power", "p", "apower", "watt", "watts", "w", "mw", "wattage", "pw"},
    "voltage": {"voltage", "v", "volt", "volts", "u", "vbus", "mv"},
    "current": {"current", "i", "a", "ma", "amp", "amps", "ampere", "ibus"},
}
_NOT_MEAN = {"max", "min", "peak", "factor", "dp", "dn", "limit", "reactive", "apparent", "setting"}
"""Words of columns that look alike and are something else: extremes, power factor, data lines."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column and what its numbers are multiplied with to be in SI units."""

    index: int
    factor: float


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a table has what.

    Attributes:
        time: Time; the factor holds for plain numbers, and dates and clock times ignore it.
        date: Column with the date where `time` has the time of day only, else `None`.
        power: Power, or the voltage where power is the product with `current`.
        current: `None` where the table has power.
    """

    time: Column
    date: Column | None
    power: Column
    current: Column | None

    def width(self) -> int:
        """Number of cells that a row needs."""
        used = (self.time, self.date, self.power, self.current)
        return 1 + max(column.index for column in used if column is not None)


def find_columns(header: Sequence[str], chosen: str | None = None) -> Columns | None:
    """Return where the table has time and power, `None` if this line is not its header.

    Args:
        header: The cells of a line.
        chosen: Name of the power column, where the user named one.

    Raises:
        ConfigError: It is the header, but several columns may be the power, or there is a current
            without a voltage, or the chosen column does not exist.
    """
    found = {quantity: _of(header, quantity) for quantity in _WORDS}
    if not found["time"]:
        return None
    power = _chosen(header, chosen) if chosen is not None else _one(header, found["power"])
    time = found["time"][0]
    date = next((Column(i, 1.0) for i, cell in enumerate(header) if _words(cell) == ["date"]), None)
    if power is not None:
        return Columns(time, date, power, None)
    voltage, current = (_one(header, found[name]) for name in ("voltage", "current"))
    if voltage is not None and current is not None:
        return Columns(time, date, voltage, current)
    if current is not None:
        raise ConfigError(
            "The table has a current but neither power nor voltage; export the voltage too."
        )
    return None


PLAIN = Columns(Column(0, 1.0), None, Column(1, 1.0), None)
"""A table without a header: seconds and watts."""


def _of(header: Sequence[str], quantity: str) -> list[Column]:
    columns = []
    for index, cell in enumerate(header):
        words = _words(cell)
        if not _WORDS[quantity] & set(words):
            continue
        if quantity == "time":
            columns.append(Column(index, _time_factor(words)))
        elif not _NOT_MEAN & set(words) and (factor := _factor(words, quantity)) is not None:
            columns.append(Column(index, factor))
    return columns


def _words(cell: str) -> list[str]:
    """Split a name at everything that is not a letter or digit: `Main Avg Power (mW)`."""
    return [word for word in re.split(r"[^0-9a-zµμ]+", cell.strip().lower()) if word]


def _time_factor(words: Sequence[str]) -> float:
    """Return seconds per unit; the unit is the last word that is one."""
    return next((_TIME_UNITS[word] for word in reversed(words[1:]) if word in _TIME_UNITS), 1.0)


def _factor(words: Sequence[str], quantity: str) -> float | None:
    """Return the SI factor of a quantity's unit, `None` if the unit is of something else (Wh)."""
    base = _BASE_UNITS[quantity]
    units = _units(base)
    for word in reversed(words):
        if word in units:
            return units[word]
        if re.fullmatch(r"[kmuµμ]?(wh|ws|ah|as|j|va|var|hz|c|ohm)", word):
            return None
    return 1.0


def _units(base: str) -> Mapping[str, float]:
    units = {prefix + base: factor for prefix, factor in _SI.items()}
    units.update({word: 1.0 for word, unit in _UNIT_WORDS.items() if unit == base})
    return units


def _one(header: Sequence[str], columns: Sequence[Column]) -> Column | None:
    """Return the column, the one of the main channel's mean if there are several."""
    if len(columns) < 2:
        return columns[0] if columns else None
    for preferred in ("main", "total", "avg"):
        named = [column for column in columns if preferred in _words(header[column.index])]
        if len(named) == 1:
            return named[0]
    names = ", ".join(repr(header[column.index].strip()) for column in columns[:6])
    raise ConfigError(f"The columns {names} may all be meant; name one with --column.")


def _chosen(header: Sequence[str], name: str) -> Column:
    wanted = name.strip().lower()
    for index, cell in enumerate(header):
        if cell.strip().lower() == wanted:
            factor = _factor(_words(cell), "power")
            if factor is None:
                raise ConfigError(f"The column {name!r} is not a power, by its unit.")
            return Column(index, factor)
    have = ", ".join(repr(cell.strip()) for cell in header[:20])
    raise ConfigError(f"There is no column {name!r}; the table has {have}.")
