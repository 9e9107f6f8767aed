"""Local tables behind one read-only SQLite connection: CSV files imported, databases attached.

Databases may come from anywhere: nothing in them is trusted to run, cells are bounded, and every
query has a time and a memory limit.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgeagent.agent.tools.sql.csv_file import inspect_csv
from edgeagent.agent.tools.sql.guard import ReadingOnly, bound, distrust, watched
from edgeagent.agent.tools.sql.names import clean_names, quoted
from edgeagent.agent.tools.sql.tables import Column, Rows, Table
from edgeagent.errors import ConfigError, ToolError

MAX_FILES = 10
"""SQLite attaches so many databases."""

MAX_TABLES = 200
QUERY_S = 5.0
_COUNTING_S = 1.0

COUNTED_ROWS = 10_000
"""Rows that are not shown are counted up to here."""

_MAGIC = b"SQLite format 3\0"


class Database:
    """All tables of some files; may be used by several threads."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Import and attach the files.

        Raises:
            ConfigError: A file cannot be read, is neither, or there are too many.
        """
        if not paths:
            raise ConfigError("There is no table: name a CSV file or an SQLite database.")
        if len(paths) > MAX_FILES:
            raise ConfigError(f"{len(paths)} files of tables are too many; {MAX_FILES} are read.")
        self._lock = threading.Lock()
        self._reading = ReadingOnly()
        self._sources: dict[tuple[str, str], str] = {}
        # `uri` lets files be attached read-only. Statements are not cached, because the
        # authorizer, which sees what a query reads, is asked when they are made.
        self._connection = sqlite3.connect(
            ":memory:", uri=True, check_same_thread=False, isolation_level=None, cached_statements=0
        )
        self._connection.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            self.tables = self._open(paths)
        except BaseException:
            self._connection.close()
            raise

    def query(
        self, text: str, parameters: Sequence[object] = (), *, most: int, time_s: float
    ) -> Rows:
        """Answer one SELECT.

        Args:
            text: The query.
            parameters: Values for its question marks.
            most: Rows to return.
            time_s: Time limit.

        Raises:
            ToolError: It is no SELECT, is wrong, or takes too much time or memory.
        """
        with self._lock:
            self._reading.read.clear()
            with watched(self._connection, time_s) as watch:
                try:
                    cursor = self._connection.execute(text, parameters)
                    if cursor.description is None:
                        raise ToolError("only a SELECT can be asked")
                    columns = tuple(str(entry[0]) for entry in cursor.description)
                    rows = tuple(cursor.fetchmany(most))
                    more = sum(1 for _, _ in zip(range(COUNTED_ROWS), cursor, strict=False))
                    cursor.close()
                except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
                    raise ToolError(watch.reason or _told(error)) from error
            sources = self._sources_of(self._reading.read)
            return Rows(columns, rows, more, sources)

    def close(self) -> None:
        """Free the tables."""
        with self._lock:
            self._connection.close()

    def _sources_of(self, read: Iterable[tuple[str | None, str]]) -> tuple[str, ...]:
        found = set()
        for schema, name in read:
            # Without a schema, SQLite takes the first that has such a table; so is our order.
            keys = [key for key in self._sources if key[1] == name and schema in {None, key[0]}]
            found |= {self._sources[key] for key in keys[:1]}
        return tuple(sorted(found))

    def _open(self, paths: Sequence[Path]) -> tuple[Table, ...]:
        databases = [path for path in paths if _is_database(path)]
        texts = [path for path in paths if path not in databases]
        distrust(self._connection)
        found: list[Table] = []
        for path, name in zip(texts, clean_names([p.stem for p in texts], "table"), strict=True):
            found.append(self._import(path, name))
        schemas = clean_names(["main", "temp", *[p.stem for p in databases]], "database")[2:]
        for path, schema in zip(databases, schemas, strict=True):
            self._attach(path, schema)
        bound(self._connection)
        for path, schema in zip(databases, schemas, strict=True):
            taken = {table.name.lower() for table in found}
            found += self._attached_tables(path, schema, taken)
        self._connection.set_authorizer(self._reading.authorize)
        if not found:
            raise ConfigError(f"{', '.join(map(str, paths))} has no tables.")
        return tuple(found)

    def _import(self, path: Path, name: str) -> Table:
        table = inspect_csv(path)
        columns = ", ".join(
            f'"{column}" {kind.sql}'
            for column, kind in zip(table.columns, table.kinds, strict=True)
        )
        marks = ", ".join("?" * len(table.columns))
        try:
            self._connection.execute("BEGIN")
            self._connection.execute(f'CREATE TABLE "{name}" ({columns})')
            rows = self._connection.executemany(
                f'INSERT INTO "{name}" VALUES ({marks})', table.rows()
            ).rowcount
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError, ValueError) as error:
            raise ConfigError(f"{path} cannot be imported: {error}.") from error
        self._sources["main", name] = path.name
        labelled = zip(table.columns, table.kinds, strict=True)
        found = tuple(Column(column, kind.label) for column, kind in labelled)
        return Table(name, found, path.name, max(rows, 0))

    def _attach(self, path: Path, schema: str) -> None:
        uri = f"{path.resolve().as_uri()}?{_mode(path)}"
        try:
            self._connection.execute(f"ATTACH ? AS {quoted(schema)}", (uri,))
            self._connection.execute(f"SELECT count(*) FROM {quoted(schema)}.sqlite_master")
        except sqlite3.Error as error:
            raise ConfigError(f"{path} cannot be read as an SQLite database: {error}.") from error

    def _attached_tables(self, path: Path, schema: str, taken: set[str]) -> Iterator[Table]:
        try:
            with watched(self._connection, QUERY_S):
                names = self._connection.execute(
                    f"SELECT name, type FROM {quoted(schema)}.sqlite_master "
                    "WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
                    f"ORDER BY type, rowid LIMIT {MAX_TABLES}"
                ).fetchall()
        except sqlite3.Error as error:
            raise ConfigError(f"{path} cannot be read as an SQLite database: {error}.") from error
        counting_until_s = time.monotonic() + _COUNTING_S
        for name, kind in names:
            # A broken view is no reason to be without the tables.
            with (
                contextlib.suppress(sqlite3.Error, sqlite3.Warning),
                watched(self._connection, QUERY_S),
            ):
                described = self._connection.execute(
                    "SELECT name, type FROM pragma_table_info(?, ?)", (name, schema)
                ).fetchall()
                if not described:
                    continue
                plain = quoted(str(name))
                self._sources[schema, str(name).lower()] = path.name
                rows = None
                if kind == "table":  # whoever made a view may have it compute for ever
                    left_s = counting_until_s - time.monotonic()
                    rows = self._count(f"{quoted(schema)}.{plain}", left_s)
                yield Table(
                    plain if plain.lower() not in taken else f"{quoted(schema)}.{plain}",
                    tuple(Column(quoted(str(column)), _label(str(t))) for column, t in described),
                    path.name,
                    rows,
                )

    def _count(self, table: str, time_s: float) -> int | None:
        with contextlib.suppress(sqlite3.Error), watched(self._connection, time_s):
            return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        return None


def _is_database(path: Path) -> bool:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name the files of tables in it.")
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def _mode(path: Path) -> str:
    """Return how to open a database so that not even a file beside it is made.

    In its write-ahead mode SQLite makes files even to read, unless it may take the database as
    something that never changes; which it is while nobody has it open.

    Raises:
        ConfigError: It was not closed properly and would have to be repaired first.
    """
    with path.open("rb") as file:
        header = file.read(20)
    write_ahead = header[18:20] == b"\2\2"  # sqlite.org/fileformat.html#file_format_version_numbers
    journal, log, index = (path.with_name(path.name + end) for end in ("-journal", "-wal", "-shm"))
    unfinished = log if write_ahead else journal
    if not unfinished.is_file() or unfinished.stat().st_size == 0:
        return "mode=ro&immutable=1" if write_ahead else "mode=ro"
    if write_ahead and index.is_file():
        return "mode=ro"
    raise ConfigError(
        f"{path} has unfinished changes in {unfinished.name}; open and close it once with the "
        "program that it belongs to."
    )


def _label(declared: str) -> str:
    """Return what SQLite's rules make of a declared type (sqlite.org/datatype3.html)."""
    kind = declared.upper()
    if "DATE" in kind or "TIME" in kind:
        return "date"
    numeric = ("INT", "REAL", "FLOA", "DOUB", "NUM", "DEC")
    return "number" if any(part in kind for part in numeric) else ""


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    if "authoriz" in text or "readonly" in text or "prohibited" in text:
        return "the tables can only be read: ask with one SELECT"
    if "one statement" in text:
        return "only one statement can be asked"
    if "malformed" in text or "not a database" in text:
        return f"the database is damaged: {text}"
    return text or type(error).__name__
