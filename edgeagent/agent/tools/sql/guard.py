"""What keeps queries, and databases that come from anywhere, within bounds."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator

import psutil

MAX_QUERY_BYTES = 512 << 20
"""What a query may add to the process's memory."""

_STEPS_BETWEEN_LOOKS = 10_000
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
"""Of cells and statements; definitions in attached databases have to keep them too."""

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "writefile", "edit"})


class Watch:
    """Ends a query that takes too much; SQLite asks it every few thousand steps.

    Attributes:
        reason: Why it ended one, empty before that.
    """

    def __init__(self, time_s: float) -> None:
        """Start the clock."""
        self._time_s = time_s
        self._deadline_s = time.monotonic() + time_s
        self._process = psutil.Process()
        self._most_bytes = self._process.memory_info().rss + MAX_QUERY_BYTES
        self.reason = ""

    def look(self) -> int:
        """Return 1 to end the query, 0 to go on."""
        if time.monotonic() > self._deadline_s:
            self.reason = f"the query took longer than {self._time_s:g} s; ask for less"
        elif self._process.memory_info().rss > self._most_bytes:
            self.reason = "the query needs too much memory; ask for less"
        return int(bool(self.reason))


@contextlib.contextmanager
def watched(connection: sqlite3.Connection, time_s: float) -> Iterator[Watch]:
    """Bound time and memory of what a connection is asked meanwhile."""
    watch = Watch(time_s)
    connection.set_progress_handler(watch.look, _STEPS_BETWEEN_LOOKS)
    try:
        yield watch
    finally:
        connection.set_progress_handler(None, 0)


class ReadingOnly:
    """Allows a connection to read, and takes note of what it reads.

    Attributes:
        read: Schemas and tables, in lower case, that were read since it was last cleared. The
            schema is `None` where rows are only counted and the query does not name it.
    """

    def __init__(self) -> None:
        """Begin without anything read."""
        self.read: set[tuple[str | None, str]] = set()

    def authorize(
        self, action: int, first: str | None, second: str | None, schema: str | None, _: str | None
    ) -> int:
        """Decide about one thing that a statement would do (sqlite.org/c3ref/c_alter_table.html).

        Args:
            action: What it is.
            first: The table, if it is about reading.
            second: The function, if it is about calling one.
            schema: Database of the table.
        """
        if action == sqlite3.SQLITE_READ and first is not None:
            self.read.add((schema, first.lower()))
        if action in _READING:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _FORBIDDEN_FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


def distrust(connection: sqlite3.Connection) -> None:
    """Have SQLite trust nothing that a database file says; before one is attached."""
    for statement in (
        "PRAGMA trusted_schema = OFF",  # views call no functions that could do anything
        "PRAGMA cell_size_check = ON",
        "PRAGMA temp_store = MEMORY",
    ):
        connection.execute(statement)


def bound(connection: sqlite3.Connection) -> None:
    """Bound sizes, and forbid to write; after everything is imported and attached."""
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.execute("PRAGMA query_only = ON")
