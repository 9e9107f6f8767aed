"""Tables in text files: which characters, delimiter, header and types they have.

The file is read twice as a stream, first to find that out, then for its rows; so only the tables
that come out of it take memory.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeagent.agent.tools.sql.names import clean_names
from edgeagent.agent.tools.sql.values import Kind, KindGuess, Value, is_number
from edgeagent.errors import ConfigError

MAX_FILE_BYTES = 128 << 20
MAX_COLUMNS = 256
MAX_ROWS = 2_000_000

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_CHARS = 1 << 16
_SAMPLE_ROWS = 100
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SEPARATOR_LINE = re.compile(r"sep=(?P<delimiter>[,;|\t])\s*", re.IGNORECASE)
"""How a spreadsheet program is told the delimiter."""


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A table in a text file, as found out.

    Attributes:
        path: The file.
        encoding: Python's name of it.
        delimiter: Between cells.
        skipped: Rows before the first of the data.
        columns: Plain names, each different.
        kinds: What each column holds.
    """

    path: Path
    encoding: str
    delimiter: str
    skipped: int
    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]

    def rows(self) -> Iterator[tuple[Value, ...]]:
        """Return the rows with their values; missing cells are `None`.

        Raises:
            ConfigError: The file cannot be read.
        """
        width = len(self.columns)
        for row in itertools.islice(
            _rows(self.path, self.encoding, self.delimiter), self.skipped, None
        ):
            cells = [cell.strip() for cell in row[:width]]
            values = [kind.convert(cell) for kind, cell in zip(self.kinds, cells, strict=False)]
            yield (*values, *[None] * (width - len(values)))


def inspect_csv(path: Path) -> CsvTable:
    """Find out how a file is written, and what its columns hold.

    Raises:
        ConfigError: It cannot be read, is no table or is too large.
    """
    encoding = _encoding(path)
    delimiter, skipped = _delimiter(path, encoding)
    sample = list(
        itertools.islice(_rows(path, encoding, delimiter), skipped, skipped + _SAMPLE_ROWS)
    )
    if not sample:
        raise ConfigError(f"{path} has no rows.")
    has_header = _has_header(sample)
    header = sample[0] if has_header else []
    skipped += has_header
    guesses: list[KindGuess] = []
    count = 0
    for count, row in enumerate(
        itertools.islice(_rows(path, encoding, delimiter), skipped, None), start=1
    ):
        if count > MAX_ROWS:
            raise ConfigError(f"{path} has more than {MAX_ROWS:,} rows; import it into SQLite.")
        while len(guesses) < len(row):
            guesses.append(KindGuess(decimal_comma=delimiter == ";"))
        for guess, cell in zip(guesses, row, strict=False):
            guess.look(cell.strip())
    width = max(len(header), len(guesses))
    if width > MAX_COLUMNS:
        raise ConfigError(f"{path} has more than {MAX_COLUMNS} columns; leave some out.")
    guesses += [KindGuess(decimal_comma=False) for _ in range(width - len(guesses))]
    kinds = tuple(guess.kind for guess in guesses)
    texts = [*header, *[""] * (width - len(header))]
    # The sign is dropped from the values, so the name has to say it.
    texts = [
        f"{text} percent" if kind.label == "percent" and "percent" not in text.lower() else text
        for text, kind in zip(texts, kinds, strict=True)
    ]
    return CsvTable(path, encoding, delimiter, skipped, clean_names(texts, "column"), kinds)


def _rows(path: Path, encoding: str, delimiter: str) -> Iterator[list[str]]:
    """Return the rows that have anything in them."""
    try:
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            for row in csv.reader(file, delimiter=delimiter):
                if any(map(str.strip, row)):
                    yield row
    except csv.Error as error:
        raise ConfigError(f"{path} cannot be read as a table: {error}.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def _encoding(path: Path) -> str:
    """Return the encoding: that of a byte order mark, else UTF-8 if it is valid, else Windows."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB; import it into SQLite."
            )
        with path.open("rb") as file:
            start = file.read(_SAMPLE_CHARS)
            for mark, name in _BOMS.items():
                if start.startswith(mark):
                    return name
            if b"\0" in start:
                raise ConfigError(f"{path} is neither a text table nor an SQLite database.")
            decoder = codecs.getincrementaldecoder("utf-8")()
            part = start
            while part:
                decoder.decode(part)
                part = file.read(_SAMPLE_CHARS)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    return "utf-8"


def _delimiter(path: Path, encoding: str) -> tuple[str, int]:
    """Return the delimiter, and how many rows say nothing else."""
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        lines = file.read(_SAMPLE_CHARS).splitlines(keepends=True)
    if lines and (match := _SEPARATOR_LINE.fullmatch(lines[0])):
        return match["delimiter"], 1
    if len(lines) > 1 and sum(map(len, lines)) >= _SAMPLE_CHARS:
        lines.pop()  # cut off
    return max(_DELIMITERS, key=lambda delimiter: _regularity(lines, delimiter)), 0


def _regularity(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """Return how well a delimiter explains the lines: share of rows of the most common width."""
    try:
        rows = itertools.islice(csv.reader(lines, delimiter=delimiter), _SAMPLE_ROWS)
        widths = Counter(len(row) for row in rows if row)
    except csv.Error:
        return 0.0, 0
    if not widths:
        return 0.0, 0
    width, rows_of_width = widths.most_common(1)[0]
    if width == 1:
        return 0.0, 1
    return rows_of_width / widths.total(), width


def _has_header(sample: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: it has no numbers where the others have some.

    A table of texts alone has a header; that is what most of them have.
    """
    first, *others = sample
    number_above_numbers = False
    for column, cell in enumerate(first):
        below = [row[column] for row in others if len(row) > column and row[column].strip()]
        if not below or not all(is_number(text.strip()) for text in below):
            continue
        if not is_number(cell.strip()):
            return True
        number_above_numbers = True
    return not number_above_numbers
