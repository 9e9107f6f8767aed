"""Tables in text files: encodings, delimiters, headers, types, names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.agent.tools.sql import csv_file
from edgeagent.agent.tools.sql.csv_file import inspect_csv
from edgeagent.agent.tools.sql.names import clean_names, quoted
from edgeagent.agent.tools.sql.values import KindGuess, Value
from edgeagent.errors import ConfigError


def read(
    folder: Path, text: str | bytes
) -> tuple[tuple[str, ...], list[tuple[Value, ...]], list[str]]:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    table = inspect_csv(path)
    return table.columns, list(table.rows()), [kind.label for kind in table.kinds]


def column(folder: Path, *cells: str, delimiter: str = ",") -> tuple[list[Value], str]:
    rows = "".join(f'x{delimiter}"{cell}"\n' for cell in cells)
    _, found, labels = read(folder, f"a{delimiter}b\n{rows}")
    return [row[1] for row in found], labels[1]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(delimiter: str, tmp_path: Path) -> None:
    text = delimiter.join(["name", "town", "age"]) + "\n"
    text += delimiter.join(['"Quern, Ada; b|c\td"', "Oslo", "41"]) + "\r\n\n"
    text += delimiter.join(["Bo", "", "7"])
    columns, rows, _ = read(tmp_path, text)
    assert columns == ("name", "town", "age")
    assert rows == [("Quern, Ada; b|c\td", "Oslo", 41), ("Bo", None, 7)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    columns, rows, _ = read(tmp_path, "Größe;Preis €\nfünf;5\n".encode(encoding))
    assert columns == ("größe", "preis")
    assert rows == [("fünf", 5)]


def test_what_spreadsheets_say_about_the_delimiter(tmp_path: Path) -> None:
    assert read(tmp_path, "sep=|\na|b,c,d\n1|2,3,4\n")[0] == ("a", "b_c_d")


@pytest.mark.parametrize(
    ("cells", "values", "label"),
    [
        (("1", "-20", ""), [1, -20, None], "number"),
        (("1.5", "2", "1e3"), [1.5, 2.0, 1000.0], "number"),
        ((".5", "-0.25"), [0.5, -0.25], "number"),
        (("1,234", "12", "-1,000,000"), [1234, 12, -1000000], "number"),
        (("1,234.50", "0.5"), [1234.5, 0.5], "number"),
        (("$1,200.00", "$-3.5", "-$2"), [1200.0, -3.5, -2.0], "number"),
        (("12 €", "3 €"), [12, 3], "number"),
        (("n/a", "NA", "7"), [None, None, 7], "number"),
        (("0012", "0013"), ["0012", "0013"], ""),
        (("+49 30 1234", "1"), ["+49 30 1234", "1"], ""),
        (("1234567890123456789012", "1"), ["1234567890123456789012", "1"], ""),
        (("12", "twelve"), ["12", "twelve"], ""),
        (("1.2.3", "4"), ["1.2.3", "4"], ""),
        (("inf", "1"), ["inf", "1"], ""),
        (("2025-01-31", "2025-02-01"), ["2025-01-31", "2025-02-01"], "date"),
        (("31.1.2025", "1.2.2025"), ["2025-01-31", "2025-02-01"], "date"),
        (("31/1/2025", "1/2/2025"), ["2025-01-31", "2025-02-01"], "date"),
        (("1/31/2025", "2/1/2025"), ["2025-01-31", "2025-02-01"], "date"),
        # Nobody can say which of them is the month.
        (("1/2/2025", "2/1/2025"), ["1/2/2025", "2/1/2025"], ""),
        (("31/12/2025", "12/31/2025"), ["31/12/2025", "12/31/2025"], ""),
        (("12%", "-3.5 %"), [12.0, -3.5], "percent"),
        (("", ""), [None, None], ""),
        (("  padded ", "x"), ["padded", "x"], ""),
    ],
)
def test_types(cells: tuple[str, ...], values: list[Value], label: str, tmp_path: Path) -> None:
    found = column(tmp_path, *cells)
    assert found == (values, label)
    assert [type(value) for value in found[0]] == [type(value) for value in values]


def test_commas_are_fractions_where_semicolons_separate(tmp_path: Path) -> None:
    cells = "1.234,50", "99,5", "-3"
    assert column(tmp_path, *cells, delimiter=";") == ([1234.5, 99.5, -3.0], "number")
    assert column(tmp_path, "1,234", "2", delimiter=";") == ([1.234, 2.0], "number")


def test_a_percentage_says_so_in_its_name(tmp_path: Path) -> None:
    columns, rows, _ = read(tmp_path, "town,growth,share in percent\nOslo,12%,3%\n")
    assert columns == ("town", "growth_percent", "share_in_percent")
    assert rows == [("Oslo", 12, 3)]


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("town,people\nOslo,700\n", ("town", "people"), 1),
        ("Oslo,700\nBergen,290\n", ("column_1", "column_2"), 2),
        ("1,2\n3,4\n", ("column_1", "column_2"), 2),
        ("town,2023,2024\nOslo,690,700\n", ("town", "_2023", "_2024"), 1),
        ("town,country\nOslo,Norway\n", ("town", "country"), 1),
        ("town\nOslo\nBergen\n", ("town",), 2),
    ],
)
def test_headers(text: str, columns: tuple[str, ...], rows: int, tmp_path: Path) -> None:
    found = read(tmp_path, text)
    assert found[0] == columns
    assert len(found[1]) == rows


def test_odd_headers_and_ragged_rows(tmp_path: Path) -> None:
    text = "Name,name,,Order,2nd Price (€),🙂\nAda,Bo,x,1,2.5,a,further\nCyd\n"
    columns, rows, _ = read(tmp_path, text)
    names = "name", "name_2", "column_3", "order_", "_2nd_price", "column_6", "column_7"
    assert columns == names
    assert rows == [
        ("Ada", "Bo", "x", 1, 2.5, "a", "further"),
        ("Cyd", None, None, None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "has no rows"),
        (b"\n , \n", "has no rows"),
        (b"MZ\x90\x00\x03\x00", "neither a text table nor an SQLite database"),
        (b'a,b\n1,"' + b"x" * 200_000, "cannot be read as a table: field larger"),
        (b"a," * 300 + b"a\n", "more than 256 columns"),
    ],
)
def test_what_is_no_table_is_an_error(content: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        read(tmp_path, content)


def test_large_files_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MAX_ROWS", 3)
    with pytest.raises(ConfigError, match="more than 3 rows"):
        read(tmp_path, "a\nb\nc\nd\ne\n")
    monkeypatch.setattr(csv_file, "MAX_FILE_BYTES", 1 << 20)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        read(tmp_path, "a" * (1 << 20) + "\nb\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        inspect_csv(tmp_path / "missing.csv")


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_nothing_is_lost_or_raised_whatever_cells_hold(cells: list[str]) -> None:
    guess = KindGuess(decimal_comma=False)
    stripped = [cell.strip() for cell in cells]
    for cell in stripped:
        guess.look(cell)
    kind = guess.kind
    for cell in stripped:
        value = kind.convert(cell)
        assert value is not None or len(cell) <= 4
        if kind.label == "" and cell:
            assert value == cell


@given(st.lists(st.text(max_size=60), max_size=10))
def test_names_are_different_and_plain(texts: list[str]) -> None:
    names = clean_names(texts, "column")
    assert len(set(names)) == len(texts)
    assert all(quoted(name) == name for name in names if not name.startswith("_"))


def test_quoted_names() -> None:
    assert quoted("price") == "price"
    assert quoted("unit price") == '"unit price"'
    assert quoted('a"b') == '"a""b"'
    assert quoted("Order") == '"Order"'
