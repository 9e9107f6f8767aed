"""Recordings of power meters as text tables: a time and a power in every line.

Reads what Monsoon, Yoctopuce, USB-C testers, smart plugs and a person with a spreadsheet write:
any common delimiter, decimal point or comma, lines of facts before the header, seconds or
milliseconds or dates, and W, mW or volts and amperes. The file comes from outside: it is read with
limits, and what does not make sense is an error with its line.
"""

from __future__ import annotations

import csv
import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeagent.errors import ConfigError
from edgeagent.meter.external.power_columns import PLAIN, Columns, find_columns
from edgeagent.meter.external.power_time import ReadTime, number, time_reader

MAX_BYTES = 512 << 20
MAX_ROWS = 20_000_000
_MAX_LINE = 1 << 16
_PREAMBLE_LINES = 200
"""Facts about the recording that may stand before its header."""

_DELIMITERS = (";", "\t", ",", "|", " ")
_MISSING = {"", "-", "--", "nan", "null", "none", "ol", "n/a"}
_MAX_POWER_W = 1e6
_MOST_MISSING = 0.5

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PowerSeries:
    """What a meter recorded.

    Attributes:
        t_s: Time since the first reading by the meter's clock, `(n,) float64`, strictly rising.
        power_w: Power, `(n,) float64`.
        missing: Lines that had no value.
    """

    t_s: Floats
    power_w: Floats
    missing: int = 0

    @property
    def interval_s(self) -> float:
        """Median time between two readings."""
        return float(np.median(np.diff(self.t_s)))

    @property
    def resolution_w(self) -> float | None:
        """Smallest step between two readings, `None` if they are all the same."""
        steps = np.diff(np.unique(self.power_w))
        return float(steps.min()) if len(steps) else None


def read_power_csv(path: Path, column: str | None = None) -> PowerSeries:
    """Read a recording.

    Args:
        path: The file.
        column: Name of the power column; needed only if several columns may be meant.

    Raises:
        ConfigError: It cannot be read, has no time or no power, or a line does not make sense.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(
                f"{path} is larger than {MAX_BYTES >> 20} MiB; export a shorter recording or a "
                "lower rate."
            )
        with path.open(encoding=_encoding(path), errors="replace", newline="") as file:
            return _read(_bounded_lines(file, path), path, column)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error


def _encoding(path: Path) -> str:
    """Return UTF-16 for what begins like it (spreadsheets on Windows), else UTF-8."""
    with path.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"


def _bounded_lines(file: Iterator[str], path: Path) -> Iterator[str]:
    for index, line in enumerate(file, 1):
        if len(line) > _MAX_LINE:
            raise ConfigError(f"{path}:{index} is too long for a line of a table.")
        if "\0" in line:
            raise ConfigError(f"{path}:{index} is not text; export the recording as CSV.")
        yield line


def _read(lines: Iterator[str], path: Path, column: str | None) -> PowerSeries:
    head = list(itertools.islice(lines, _PREAMBLE_LINES))
    start, delimiter, columns = _find_table(head, path, column)
    rows = enumerate(itertools.chain(head[start:], lines), start + 1)
    table = _Table(path, columns)
    for index, line in rows:
        if index - start > MAX_ROWS:
            raise ConfigError(f"{path} has more than {MAX_ROWS} lines; export a lower rate.")
        if _is_comment(line):
            continue
        complete = line.endswith(("\n", "\r"))
        table.add(_cells(line, delimiter), index, complete=complete)
    return table.series()


def _find_table(head: Sequence[str], path: Path, column: str | None) -> tuple[int, str, Columns]:
    """Return the number of lines before the first row, the delimiter and the columns."""
    named = False  # whether a line before may have named columns, which are not understood then
    for index, line in enumerate(head):
        for delimiter in _DELIMITERS:
            cells = _cells(line.lstrip("# "), delimiter)
            if len(cells) < 2:
                continue
            try:
                columns = find_columns(cells, column)
            except ConfigError as error:
                raise ConfigError(f"{path}:{index + 1}: {error}") from error
            if columns is not None:
                return index + 1, delimiter, columns
            if column is None and not named and _is_plain(cells):
                return index, delimiter, PLAIN
        named = named or not _is_comment(line)
    raise ConfigError(
        f"{path} has no line that names a time and a power column, such as `t,watts`."
    )


def _is_plain(cells: Sequence[str]) -> bool:
    """Whether it is a row of a table without header: a time and a number, and nothing else."""
    if len(cells) != 2:
        return False
    try:
        time_reader(cells[0], 1.0)
        number(cells[1])
    except ValueError:
        return False
    return True


def _is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


class _Table:
    """Collects rows and checks them against each other."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._path = path
        self._columns = columns
        self._read_time: ReadTime | None = None
        self._times = array("d")
        self._powers = array("d")
        self._missing = 0

    def add(self, cells: Sequence[str], index: int, *, complete: bool) -> None:
        """Add a row; a last one that was cut off is left out."""
        columns = self._columns
        if len(cells) < columns.width():
            if complete:
                raise ConfigError(
                    f"{self._path}:{index} has {len(cells)} cells where {columns.width()} are "
                    "needed; remove the line or export again."
                )
            return
        if any(text.lower() in _MISSING for text in self._value_cells(cells)):
            self._missing += 1
            return
        try:
            time_s = self._time_s(cells)
            power_w = self._power_w(cells)
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"{self._path}:{index} does not make sense: {error}.") from error
        if self._times and time_s < self._times[-1]:
            raise ConfigError(
                f"{self._path}:{index} is earlier than the line before; keep one recording in "
                "the file."
            )
        self._times.append(time_s)
        self._powers.append(power_w)

    def series(self) -> PowerSeries:
        """Return what was read; readings of one and the same time become their mean."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            raise ConfigError(f"{self._path} has fewer than two readings at different times.")
        if self._missing > _MOST_MISSING * (len(self._times) + self._missing):
            raise ConfigError(f"{self._path} has no value in most of its lines.")
        times, powers = np.frombuffer(self._times), np.frombuffer(self._powers)
        unique, first, counts = np.unique(times, return_index=True, return_counts=True)
        means = np.add.reduceat(powers, first) / counts
        return PowerSeries(unique - unique[0], means, self._missing)

    def _value_cells(self, cells: Sequence[str]) -> Iterator[str]:
        for column in (self._columns.power, self._columns.current):
            if column is not None:
                yield cells[column.index]

    def _time_s(self, cells: Sequence[str]) -> float:
        columns = self._columns
        text = cells[columns.time.index]
        if columns.date is not None and columns.date.index != columns.time.index:
            text = f"{cells[columns.date.index]} {text}"
        if self._read_time is None:
            self._read_time = time_reader(text, columns.time.factor)
        return self._read_time(text)

    def _power_w(self, cells: Sequence[str]) -> float:
        columns = self._columns
        value = number(cells[columns.power.index]) * columns.power.factor
        if columns.current is not None:
            value *= number(cells[columns.current.index]) * columns.current.factor
        if abs(value) > _MAX_POWER_W:
            raise ValueError(f"{value:g} W is more than any device draws")
        return value
