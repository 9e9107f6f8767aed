"""The database of an index: which files it knows in which state, and their passages."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeagent.agent.tools.documents.passages import Passage
from edgeagent.errors import ConfigError

SCHEMA_VERSION = 1
"""Raise it when tables, readers or the splitting change: older indexes are then made anew."""

MAX_PASSAGES_PER_DOCUMENT = 1 << 20
_BUSY_TIMEOUT_S = 30.0
"""Another process writes one document at a time, so that nobody waits for long."""

_SCHEMA = (
    "CREATE TABLE documents (id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL UNIQUE, "
    "size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, "
    "read_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, passages INTEGER NOT NULL, "
    "problem TEXT, reader TEXT NOT NULL)",
    # Its row numbers are a document's id and the passage's number in it.
    "CREATE VIRTUAL TABLE passages USING fts5(title, text, source UNINDEXED, page UNINDEXED, "
    "tokenize = 'porter unicode61 remove_diacritics 2')",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was read.

    Attributes:
        size: In bytes.
        mtime_ns: Time of the last change of its content, since 1970.
        ctime_ns: Time of the last change of anything about it (Windows: of its creation).
        read_ns: Time of reading.
        sha256: Of its content; empty if it could not be read.
        problem: Why it, or some of it, has no passages; `None` if all of it was read.
        reader: Version of the package that read it or could not.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    read_ns: int
    sha256: str
    problem: str | None
    reader: str


class PassageStore:
    """Passages of documents with full-text search; thread-safe, and shared by processes."""

    def __init__(self, file: Path | None, folder: Path) -> None:
        """Open the database, or make it.

        Args:
            file: Where it lies; `None` for one in memory.
            folder: The folder of the documents, noted in it.

        Raises:
            ConfigError: This Python's SQLite has no full-text search.
            sqlite3.Error: The file is damaged or cannot be written.
            OSError: The same, from the system.
        """
        if file is not None:
            _make_private(file)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(
            file or ":memory:",
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # What was removed is overwritten: no text of a deleted document stays behind.
            self._db.execute("PRAGMA secure_delete = ON")
            if file is not None:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
            self._prepare(folder)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, folder: Path) -> None:
        with self.transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == SCHEMA_VERSION:
                return
            for table in ("documents", "passages", "facts"):
                self._db.execute(f"DROP TABLE IF EXISTS {table}")
            try:
                for statement in _SCHEMA:
                    self._db.execute(statement)
            except sqlite3.OperationalError as error:
                if "fts5" not in str(error):
                    raise
                raise ConfigError(
                    f"This Python's SQLite has no FTS5 full-text search ({error}); use a Python "
                    "whose sqlite3 module has it."
                ) from error
            self._db.execute("INSERT INTO facts VALUES ('folder', ?)", (os.fsencode(folder).hex(),))
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing, whatever ends it."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise

    def names(self) -> tuple[bytes, ...]:
        """Return the names of the files that it knows."""
        return tuple(name for (name,) in self._rows("SELECT name FROM documents"))

    def state(self, name: bytes) -> FileState | None:
        """Return how a file was when it was read."""
        rows = self._rows(
            "SELECT size, mtime_ns, ctime_ns, read_ns, sha256, problem, reader FROM documents "
            "WHERE name = ?",
            name,
        )
        return FileState(*rows[0]) if rows else None

    def problems(self) -> tuple[tuple[bytes, str, bool], ...]:
        """Return the files that could not be read, why, and whether some of each could."""
        rows = self._rows(
            "SELECT name, problem, passages > 0 FROM documents WHERE problem NOT NULL"
        )
        return tuple((name, problem, bool(some)) for name, problem, some in rows)

    def replace(self, name: bytes, state: FileState, passages: Sequence[Passage]) -> None:
        """Put a file's passages in the place of those it had."""
        with self.transaction():
            self._remove(name)
            cursor = self._db.execute(
                "INSERT INTO documents (name, size, mtime_ns, ctime_ns, read_ns, sha256, passages, "
                "problem, reader) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(name, state.size, state.mtime_ns, state.ctime_ns, state.read_ns),
                    *(state.sha256, len(passages), state.problem, state.reader),
                ),
            )
            first = (cursor.lastrowid or 0) * MAX_PASSAGES_PER_DOCUMENT
            self._db.executemany(
                "INSERT INTO passages (rowid, title, text, source, page) VALUES (?, ?, ?, ?, ?)",
                (
                    (first + number, passage.title, passage.text, passage.source, passage.page)
                    for number, passage in enumerate(passages)
                ),
            )

    def touch(self, name: bytes, state: FileState) -> None:
        """Note that a file's content is what it was, under other times."""
        with self.transaction():
            self._db.execute(
                "UPDATE documents SET size = ?, mtime_ns = ?, ctime_ns = ?, read_ns = ? "
                "WHERE name = ? AND sha256 = ?",
                (state.size, state.mtime_ns, state.ctime_ns, state.read_ns, name, state.sha256),
            )

    def remove(self, name: bytes) -> None:
        """Forget a file."""
        with self.transaction():
            self._remove(name)

    def _remove(self, name: bytes) -> None:
        for (known,) in self._rows("SELECT id FROM documents WHERE name = ?", name):
            first = known * MAX_PASSAGES_PER_DOCUMENT
            self._db.execute(
                "DELETE FROM passages WHERE rowid >= ? AND rowid < ?",
                (first, first + MAX_PASSAGES_PER_DOCUMENT),
            )
            self._db.execute("DELETE FROM documents WHERE id = ?", (known,))

    def compact(self) -> None:
        """Drop the words of removed passages, which a full-text index keeps until it is merged."""
        with self.transaction():
            self._db.execute("INSERT INTO passages (passages) VALUES ('optimize')")

    def count(self) -> int:
        """Return the number of passages."""
        ((count,),) = self._rows("SELECT coalesce(sum(passages), 0) FROM documents")
        return int(count)

    def rows_with(self, word: str) -> tuple[int, ...]:
        """Return the numbers of the passages that have a word, in any of its forms."""
        rows = self._rows("SELECT rowid FROM passages WHERE passages MATCH ?", f'"{word}"')
        return tuple(row for (row,) in rows)

    def best(self, words: Sequence[str], limit: int) -> tuple[Passage, ...]:
        """Return the best passages for any of the words, by BM25; the title's words count double.

        Among equals, documents are in the order of their names, passages in that of the document.
        """
        # Quoted, so that nothing in a word is an operator of the full-text language.
        rows = self._rows(
            "SELECT source, title, text, page FROM passages WHERE passages MATCH ? "
            "ORDER BY bm25(passages, 2.0, 1.0), source, rowid LIMIT ?",
            " OR ".join(f'"{word}"' for word in words),
            limit,
        )
        return tuple(Passage(*row) for row in rows)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()


def folder_of(file: Path) -> Path | None:
    """Return the folder whose documents an index holds; `None` if that cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
            (value,) = db.execute("SELECT value FROM facts WHERE name = 'folder'").fetchone()
        return Path(os.fsdecode(bytes.fromhex(value)))
    except (sqlite3.Error, TypeError, ValueError):
        return None


def delete(file: Path) -> None:
    """Delete an index and what belongs to it.

    Raises:
        OSError: It cannot be deleted.
    """
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _make_private(file: Path) -> None:
    """Create the file so that nobody else may read it; files beside it get the same rights."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(file, flags, 0o600)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
