"""SQL over local tables: what models see, what queries may do, databases that mean harm."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from edgeagent.agent.tools.protocol import Grounded, ToolResult, offers
from edgeagent.agent.tools.sql import SqlTool, database, guard
from edgeagent.agent.tools.sql.tables import Column, Rows, Table
from edgeagent.agent.tools.sql.tool import MAX_SHOWN_CHARS, describe_tables, show_rows, show_value
from edgeagent.errors import ConfigError, ToolError

SALES = """Region,Product,Price,Sold on
North,Oat flour,12.50,2025-01-03
North,Rye flour,8,2025-02-11
South,Oat flour,11,2025-02-12
West,"Miller's choice",30,2025-03-01
"""
ORDERS = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, total REAL, placed DATE);
INSERT INTO orders VALUES (1, 'Ada Quern', 12.5, '2025-01-01'), (2, 'Bo O''Neil', 80.1, NULL);
CREATE TABLE "Order Details" (id INTEGER, "unit price" REAL, photo BLOB);
INSERT INTO "Order Details" VALUES (1, 2.5, x'00ff');
CREATE TABLE sales (id INTEGER);
CREATE VIEW large AS SELECT * FROM orders WHERE total > 50;
"""


def make_database(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(script)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "sales.csv").write_text(SALES)
    return [make_database(tmp_path / "shop.db", ORDERS), tmp_path / "sales.csv"]


@pytest.fixture
def tool(files: list[Path]) -> Iterator[SqlTool]:
    with closing(SqlTool(files)) as tool:
        yield tool


def ask(tool: SqlTool, query: str) -> str:
    return tool.run({"query": query}).text


def test_the_description_names_tables_and_columns(tool: SqlTool) -> None:
    assert tool.description == (
        "Look up, count or add up what these tables hold, with one SQLite SELECT: "
        "sales(region, product, price number, sold_on date), "
        "orders(id number, customer, total number, placed date), "
        '"Order Details"(id number, "unit price" number, photo), shop.sales(id number), '
        "large(id number, customer, total number, placed date)"
    )
    assert [table.rows for table in tool.tables] == [4, 2, 1, 0, None]


def test_a_long_description_is_cut_where_it_hurts_least() -> None:
    columns = tuple(Column(f"column_{number}") for number in range(40))
    tables = [Table(f"table_{number}", columns, "x", 1) for number in range(30)]
    text = describe_tables(tables, 700)
    assert len(text) < 740
    assert text.startswith("table_0(column_0, column_1, ")
    assert "column_15, 24 more)" in text
    assert text.endswith(" more tables")
    assert ", table_7, " in text


@pytest.mark.parametrize(
    ("query", "text", "sources"),
    [
        ("SELECT count(*) FROM sales", "count(*): 4", ("sales.csv",)),
        ("SELECT price FROM sales WHERE region = 'South';", "price: 11", ("sales.csv",)),
        ("SELECT total, customer FROM orders WHERE id = 1", None, ("shop.db",)),
        ("SELECT 1 + 1", "1 + 1: 2", ()),
        ("SELECT 0.1 + 0.2 AS x", "x: 0.3", ()),
        ("SELECT * FROM sales WHERE region = 'East'", "no row matches", ("sales.csv",)),
        ("SELECT customer, total FROM large", "customer: Bo O'Neil, total: 80.1", ("shop.db",)),
        ("SELECT placed FROM orders WHERE id = 2", "placed: NULL", ("shop.db",)),
        ('SELECT photo FROM "Order Details"', "photo: (2 bytes)", ("shop.db",)),
        ("```sql\nSELECT max(price) m FROM sales\n```", "m: 30", ("sales.csv",)),
        (
            "SELECT region, sum(price) AS total FROM sales GROUP BY region ORDER BY 2 DESC LIMIT 2",
            "region | total\nWest | 30\nNorth | 20.5",
            ("sales.csv",),
        ),
        (
            "WITH a AS (SELECT * FROM main.sales) SELECT count(*) n FROM a, orders",
            "n: 8",
            ("sales.csv", "shop.db"),
        ),
    ],
)
def test_answers_with_sources(
    query: str, text: str | None, sources: tuple[str, ...], tool: SqlTool
) -> None:
    for _ in range(2):  # what a query reads is also known the second time
        assert tool.run({"query": query}) == ToolResult(
            text or "total: 12.5, customer: Ada Quern", sources
        )


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT prize FROM sales", r"no such column: prize; the columns are sales\(region"),
        ("SELECT prize FROM sales", "did you mean price?"),
        ("SELECT * FROM sale", "no such table: sale; the tables are sales, orders, "),
        ("SELECT * FROM order", 'near "order": syntax error'),
        ("SELECT region FROM sales; DELETE FROM sales", "one statement"),
        ("hello", "syntax error"),
        ("-- nothing", "only a SELECT"),
    ],
)
def test_errors_say_what_there_is(query: str, told: str, tool: SqlTool) -> None:
    with pytest.raises(ToolError, match=told) as caught:
        ask(tool, query)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM sales",
        "UPDATE orders SET total = 0",
        "INSERT INTO orders (customer) VALUES ('x')",
        "REPLACE INTO orders VALUES (1, 'x', 0, 0)",
        "DROP TABLE orders",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "ALTER TABLE sales ADD COLUMN x",
        "ATTACH 'new.db' AS new",
        "DETACH shop",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = WAL",
        "PRAGMA trusted_schema = ON",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('x')",
        "SELECT writefile('x', 'y')",
        "SELECT fts3_tokenizer('x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT edit('x')",
        "SELECT * FROM dbstat",
    ],
)
def test_nothing_but_reading(query: str, tool: SqlTool, files: list[Path], tmp_path: Path) -> None:
    before = [path.read_bytes() for path in files]
    names = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ToolError):
        ask(tool, query)
    assert [path.read_bytes() for path in files] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert ask(tool, "SELECT count(*) FROM sales") == "count(*): 4"


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT max(x) FROM c",
    ],
)
def test_queries_without_end_are_ended(
    query: str, tool: SqlTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeagent.agent.tools.sql.tool.QUERY_S", 0.2)
    started_s = time.monotonic()
    if query.endswith("SELECT x FROM c"):
        # Rows that nobody sees are counted up to a bound only.
        assert ask(tool, query).endswith("and 10,000 more rows")
    else:
        with pytest.raises(ToolError, match=r"took longer than 0\.2 s"):
            ask(tool, query)
    assert time.monotonic() - started_s < 5
    assert ask(tool, "SELECT count(*) FROM sales") == "count(*): 4"


def test_memory_and_cells_are_bounded(tool: SqlTool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_QUERY_BYTES", 32 << 20)
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000000)"
    with pytest.raises(ToolError, match="too much memory"):
        ask(tool, f"{endless} SELECT x, hex(randomblob(500)) FROM c ORDER BY 2")
    with pytest.raises(ToolError, match="too big"):
        ask(tool, "SELECT length(zeroblob(100000000) || 'x')")
    shown = ask(tool, "SELECT hex(zeroblob(400000)) AS x")
    assert shown == "x: " + "0" * 120 + "…"


def test_rows_and_characters_are_bounded() -> None:
    many = Rows(("a", "b"), tuple((i, "x" * 100) for i in range(20)), 5, ())
    text = show_rows(many)
    assert len(text) < MAX_SHOWN_CHARS + 40
    lines = text.split("\n")
    assert lines[0] == "a | b"
    assert lines[-1] == f"and {25 - (len(lines) - 2)} more rows"
    wide = Rows(tuple("abcdefghijklmnopqrst"), (("x" * 500,) * 20,), 0, ())
    assert len(show_rows(wide)) <= MAX_SHOWN_CHARS + 2
    assert show_value("two\nlines\0") == "two lines\0"


def test_threads_may_ask_at_the_same_time(tool: SqlTool) -> None:
    found: list[ToolResult] = []

    def work(table: str) -> None:
        found.extend(tool.run({"query": f"SELECT count(*) FROM {table}"}) for _ in range(20))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("sales", "orders") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert set(found) == {
        ToolResult("count(*): 4", ("sales.csv",)),
        ToolResult("count(*): 2", ("shop.db",)),
    }


HOSTILE = {
    "a view that never ends": (
        "CREATE TABLE a (x); INSERT INTO a VALUES (1); CREATE VIEW endless AS WITH RECURSIVE "
        "c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) AS n FROM c"
    ),
    "a view that loads code": (
        "CREATE TABLE a (x); INSERT INTO a VALUES (1);"
        "CREATE VIEW code AS SELECT load_extension('evil')"
    ),
    "triggers": (
        "CREATE TABLE a (x); INSERT INTO a VALUES (1); CREATE VIEW v AS SELECT x FROM a;"
        "CREATE TRIGGER t INSTEAD OF INSERT ON v BEGIN DELETE FROM a; END"
    ),
    "a broken view": (
        "CREATE TABLE a (x); INSERT INTO a VALUES (1); CREATE VIEW b AS SELECT y FROM missing"
    ),
    "odd names": (
        'CREATE TABLE a (x); INSERT INTO a VALUES (1); CREATE TABLE "b""; DROP TABLE a; --" '
        '("c""d", "select", "");'
    ),
    "text that is none": "CREATE TABLE a (x); INSERT INTO a VALUES (CAST(x'ff00fe' AS TEXT))",
    "a cell of 8 MB": "CREATE TABLE a (x); INSERT INTO a VALUES (zeroblob(8000000))",
    "a full-text index": "CREATE TABLE a (x); CREATE VIRTUAL TABLE f USING fts5(y)",
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE.keys())
def test_databases_that_mean_harm(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeagent.agent.tools.sql.tool.QUERY_S", 0.2)
    path = make_database(tmp_path / "main.db", script)
    before = path.read_bytes()
    with closing(SqlTool([path])) as tool:
        assert "a" in [table.name for table in tool.tables]
        for table in tool.tables:
            result: str | ToolError
            try:
                result = ask(tool, f"SELECT * FROM {table.name}")
            except ToolError as error:
                result = error
            assert len(str(result)) < 1000
            tool.offer(f"What is the x of {table.name}?", [])
        assert ask(tool, "SELECT count(*) FROM a") in {"count(*): 1", "count(*): 0"}
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["main.db"]


def damaged(content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = make_database(folder / "shop.db", ORDERS)
        data = bytearray(path.read_bytes())
        data[100 : 100 + len(content)] = content
        path.write_bytes(data)
        return path

    return make


def broken_schema(folder: Path) -> Path:
    return make_database(
        folder / "shop.db",
        "CREATE TABLE a (x); PRAGMA writable_schema = ON;"
        "UPDATE sqlite_master SET sql = 'CREATE TABLE a (' WHERE name = 'a'",
    )


def cut_off(folder: Path) -> Path:
    path = make_database(folder / "shop.db", ORDERS)
    path.write_bytes(path.read_bytes()[:150])
    return path


def without_tables(folder: Path) -> Path:
    return make_database(folder / "shop.db", "CREATE TABLE a (x); DROP TABLE a")


@pytest.mark.parametrize(
    "make", [damaged(b"\xff" * 200), broken_schema, cut_off, without_tables, lambda folder: folder]
)
def test_what_cannot_be_read_is_an_error_with_its_path(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        SqlTool([path])


def test_damage_found_later_is_told(tmp_path: Path) -> None:
    path = make_database(tmp_path / "shop.db", ORDERS)
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\xff" * 4096  # the first page of a table
    path.write_bytes(data)
    with closing(SqlTool([path])) as tool, pytest.raises(ToolError, match="is damaged"):
        ask(tool, "SELECT * FROM orders")


def test_too_many_files_and_none(files: list[Path]) -> None:
    with pytest.raises(ConfigError, match="no table"):
        SqlTool([])
    with pytest.raises(ConfigError, match="too many"):
        SqlTool(files * 6)


def test_files_of_the_same_name_have_different_tables(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "prices.csv")
        paths[-1].write_text(f"item,price\n{folder},1\n")
        paths.append(make_database(tmp_path / folder / "main.db", f"CREATE TABLE t ({folder})"))
    with closing(SqlTool(paths)) as tool:
        names = [table.name for table in tool.tables]
        assert names == ["prices", "prices_2", "t", "main_3.t"]
        assert ask(tool, "SELECT item FROM prices_2") == "item: b"
        for name in names:
            ask(tool, f"SELECT * FROM {name}")


def test_databases_in_write_ahead_mode_get_no_files_beside_them(tmp_path: Path) -> None:
    path = make_database(tmp_path / "shop.db", "PRAGMA journal_mode = WAL;" + ORDERS)
    assert [found.name for found in tmp_path.iterdir()] == ["shop.db"]
    with closing(SqlTool([path])) as tool:
        assert ask(tool, "SELECT count(*) FROM orders") == "count(*): 2"
        assert [found.name for found in tmp_path.iterdir()] == ["shop.db"]
    # While somebody else has it open, what they wrote last is read as well.
    with closing(sqlite3.connect(path)) as other:
        other.execute("INSERT INTO orders (customer) VALUES ('Cyd')")
        other.commit()
        with closing(SqlTool([path])) as tool:
            assert ask(tool, "SELECT count(*) FROM orders") == "count(*): 3"
        log = (tmp_path / "shop.db-wal").read_bytes()
    assert [found.name for found in tmp_path.iterdir()] == ["shop.db"]
    # And when they crashed, it is not for us to repair.
    (tmp_path / "shop.db-wal").write_bytes(log)
    with pytest.raises(ConfigError, match=r"unfinished changes in shop\.db-wal"):
        SqlTool([path])


def test_examples_are_asked_of_the_real_tables(files: list[Path], tmp_path: Path) -> None:
    with closing(SqlTool(files)) as tool:
        first, second = tool.examples
        assert first.question == "How many rows does sales have?"
        assert first.observations == ("COUNT(*): 4",)
        assert second.question == "Which region of sales has the highest price?"
        assert second.turns[1].answer == "West."
        for example in tool.examples:
            call = example.turns[0].calls[0]
            assert call.tool == "sql"
            assert ask(tool, str(call.arguments["query"])) == example.observations[0]
    (tmp_path / "empty.csv").write_text("a,b\n")
    with closing(SqlTool([tmp_path / "empty.csv"])) as tool:
        assert [example.observations for example in tool.examples] == [("COUNT(*): 0",)]


def query_pattern(tool: SqlTool, question: str, *results: str) -> re.Pattern[str] | None:
    assert isinstance(tool, Grounded)
    found = offers([tool], question, results, narrow=True)
    if not found:
        return None
    properties = cast("dict[str, Any]", found[0].parameters["properties"])
    return re.compile(properties["query"]["pattern"])


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("How many sales were there?", "SELECT COUNT(*) FROM sales"),
        ("What do we sell in the north?", "SELECT product FROM sales WHERE region = 'North'"),
        (
            "Total price of oat flour in the South?",
            "SELECT SUM(price) FROM sales WHERE product = 'Oat flour' AND region = 'South'",
        ),
        (
            "Which region has the highest price?",
            "SELECT region, price FROM sales ORDER BY price DESC LIMIT 1",
        ),
        (
            "Which region has the highest average price?",
            "SELECT region, AVG(price) FROM sales GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
        ),
        ("What is the lowest price in sales?", "SELECT MIN(price) FROM sales"),
        (
            "Average price of sales per region?",
            "SELECT region, AVG(price) FROM sales GROUP BY 1",
        ),
        (
            "The 3 cheapest products in sales?",
            "SELECT product, price FROM sales ORDER BY price LIMIT 3",
        ),
        ("When was the latest of the sales?", "SELECT MAX(sold_on) FROM sales"),
        ("Sales above 10?", "SELECT product, price FROM sales WHERE price > 10"),
        ("Sales in 2025-02?", "SELECT COUNT(*) FROM sales WHERE sold_on LIKE '2025-02%'"),
        (
            "What did Bo O'Neil order?",
            "SELECT total FROM orders WHERE customer = 'Bo O''Neil'",
        ),
        (
            "What total has the order of Ada Quern?",
            "SELECT total FROM orders WHERE customer = 'Ada Quern'",
        ),
        ("The miller's choice?", "SELECT price FROM sales WHERE product = 'Miller''s choice'"),
        ("The unit price of order details?", 'SELECT "unit price" FROM "Order Details"'),
    ],
)
def test_small_models_are_offered_what_was_said(question: str, query: str, tool: SqlTool) -> None:
    pattern = query_pattern(tool, question)
    assert pattern is not None
    assert pattern.fullmatch(query)
    ask(tool, query)  # and it is valid
    assert not pattern.fullmatch("SELECT * FROM sales")
    assert not pattern.fullmatch(query.replace("FROM", "FROM secrets,"))
    assert not pattern.fullmatch(query + " WHERE region = 'Middle'")


@pytest.mark.parametrize("question", ["Who is the king?", "What is 12 * 7?", "What day is it?", ""])
def test_nothing_is_offered_for_other_questions(question: str, tool: SqlTool) -> None:
    assert query_pattern(tool, question) is None


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("How many sales were there?", "SELECT SUM(price) FROM sales"),
        ("Total price in the North?", "SELECT COUNT(*) FROM sales WHERE region = 'North'"),
        ("Total price in the North?", "SELECT SUM(price) FROM sales"),
        ("Which product of sales has the highest price?", "SELECT MAX(price) FROM sales"),
        (
            "Which product of sales has the highest price?",
            "SELECT product FROM sales ORDER BY price LIMIT 1",
        ),
        ("What is the lowest price in sales?", "SELECT MAX(price) FROM sales"),
    ],
)
def test_what_is_to_be_done_with_rows_comes_from_the_question(
    question: str, query: str, tool: SqlTool
) -> None:
    pattern = query_pattern(tool, question)
    assert pattern is not None
    ask(tool, query)  # valid, but not what was asked
    assert not pattern.fullmatch(query)


def test_values_that_a_result_states_may_be_looked_up(tool: SqlTool) -> None:
    query = "SELECT total FROM orders WHERE customer = 'Ada Quern'"
    question = "What is the order total of the mill's owner?"
    before = query_pattern(tool, question)
    after = query_pattern(tool, question, "[Mill] The mill belongs to Ada Quern.")
    assert before is not None
    assert after is not None
    assert not before.fullmatch(query)
    assert after.fullmatch(query)


def test_the_grammar_engine_reads_the_patterns(tool: SqlTool) -> None:
    llguidance = pytest.importorskip("llguidance")
    for question in ("What did Bo O'Neil order above 50 in sales?", "Order details, unit price?"):
        schema = tool.offer(question, [])
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        assert llguidance.LLMatcher.validate_grammar(grammar, None) == ""


def test_large_tables_are_not_searched_for_values(
    tool: SqlTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert query_pattern(tool, "Ada Quern?") is not None
    monkeypatch.setattr("edgeagent.agent.tools.sql.mentions.MAX_SEARCHED_ROWS", 1)
    assert query_pattern(tool, "Ada Quern?") is None


def test_wrong_arguments_are_told(tool: SqlTool) -> None:
    for arguments in ({}, {"query": " "}, {"query": 1}):
        with pytest.raises(ToolError, match="query"):
            tool.run(arguments)


def test_counting_does_not_delay_opening(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_COUNTING_S", -1.0)
    monkeypatch.setattr(guard, "_STEPS_BETWEEN_LOOKS", 1)
    with closing(SqlTool(files)) as tool:
        assert [table.rows for table in tool.tables] == [4, None, None, None, None]
