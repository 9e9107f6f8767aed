"""The file of solved traces: SQLite, one file that the user named, readable by its owner alone.

Several processes may use it at once: every change is one transaction that waits for the others, and
one that is interrupted leaves the file as it was. What is read back is as little trusted as any
file from outside.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgeagent.agent.memory.trace import SolvedTrace
from edgeagent.errors import ConfigError, ResourceError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x45444D31
"""Stands in the file's header, so that no other program's database is ever written to."""

BUSY_TIMEOUT_S = 10.0
_MAX_ROW_CHARS = 8192
_TABLE = (
    "CREATE TABLE traces (id INTEGER PRIMARY KEY AUTOINCREMENT, question_sha256 TEXT NOT NULL "
    "UNIQUE, trace TEXT NOT NULL)"
)
_SCHEMA = {
    ("table", "traces"),
    ("index", "sqlite_autoindex_traces_1"),
    ("table", "sqlite_sequence"),
}


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How large a memory may grow; the oldest traces go first.

    Attributes:
        max_traces: Most traces.
        max_bytes: Most bytes of all traces together, as they are stored.
    """

    max_traces: int = 1000
    max_bytes: int = 2 << 20


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """A trace and the number that it goes by in its file."""

    id: int
    trace: SolvedTrace


class TraceStore:
    """See the module; may be used from several threads."""

    def __init__(
        self, path: Path, limits: StoreLimits | None = None, *, create: bool = True
    ) -> None:
        """Open the file, or make it if `create` says so.

        Raises:
            ConfigError: There is no such file, or it is not a memory of this version.
            ResourceError: It cannot be read or written, or another process holds it too long.
        """
        self.path = path
        self.limits = limits or StoreLimits()
        self._lock = threading.Lock()
        if not create and not path.is_file():
            raise ConfigError(f"There is no memory {path}; remember something to make it.")
        _make_private(path)
        if path.stat().st_size > 8 * self.limits.max_bytes + (1 << 20):
            raise ConfigError(f"{path} is far larger than a memory may be; choose another file.")
        self._db = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            with self._said_plainly():
                self._set_up()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> TraceStore:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def add(self, trace: SolvedTrace) -> int:
        """Remember a trace and return its number; it replaces one with the same question.

        Raises:
            ResourceError: The file cannot be written.
        """
        text = trace.model_dump_json()
        with self._change() as db:
            db.execute("DELETE FROM traces WHERE question_sha256 = ?", (_digest(trace.question),))
            cursor = db.execute(
                "INSERT INTO traces (question_sha256, trace) VALUES (?, ?)",
                (_digest(trace.question), text),
            )
            number = int(cursor.lastrowid or 0)
            self._evict(db)
        return number

    def traces(self) -> tuple[StoredTrace, ...]:
        """Return what is remembered, oldest first; rows that are no trace are left out.

        Raises:
            ResourceError: The file cannot be read.
        """
        with self._lock, self._said_plainly():
            rows = self._db.execute(
                "SELECT id, trace FROM traces WHERE typeof(trace) = 'text' AND length(trace) <= ? "
                "ORDER BY id DESC LIMIT ?",
                (_MAX_ROW_CHARS, self.limits.max_traces),
            ).fetchall()
        found = ((number, _trace(text)) for number, text in reversed(rows))
        return tuple(StoredTrace(number, trace) for number, trace in found if trace is not None)

    def version(self) -> tuple[int, int]:
        """Return what changes whenever this or another process changes the file."""
        with self._lock, self._said_plainly():
            (others,) = self._db.execute("PRAGMA data_version").fetchone()
            return int(others), self._db.total_changes

    def forget(self, number: int) -> bool:
        """Delete one trace; return whether it was there.

        Raises:
            ResourceError: The file cannot be written.
        """
        with self._change() as db:
            return db.execute("DELETE FROM traces WHERE id = ?", (number,)).rowcount > 0

    def forget_text(self, text: str) -> int:
        """Delete every trace in which a text occurs, whatever its case; return how many.

        Raises:
            ResourceError: The file cannot be written.
        """
        wanted = text.casefold()
        numbers = [
            stored.id for stored in self.traces() if wanted in _words_of(stored.trace).casefold()
        ]
        with self._change() as db:
            db.executemany("DELETE FROM traces WHERE id = ?", [(number,) for number in numbers])
        return len(numbers)

    def clear(self) -> int:
        """Delete everything, also what could not be read; return how many rows there were.

        Raises:
            ResourceError: The file cannot be written.
        """
        with self._change() as db:
            return db.execute("DELETE FROM traces").rowcount

    def _set_up(self) -> None:
        db = self._db
        # Nothing in the file may run by itself, and what is deleted is overwritten.
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA auto_vacuum = FULL")  # of new files; deleted pages leave the file
        db.execute("BEGIN IMMEDIATE")
        try:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            schema = set(db.execute("SELECT type, name FROM sqlite_master"))
            if not schema and application == 0 and version == 0:
                db.execute(_TABLE)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif application != APPLICATION_ID:
                raise ConfigError(f"{self.path} is a database of another program; choose a file.")
            elif version != SCHEMA_VERSION:
                raise ConfigError(
                    f"{self.path} is a memory of version {version}, and this edgeagent reads "
                    f"version {SCHEMA_VERSION}; choose another file."
                )
            elif schema != _SCHEMA:
                raise ConfigError(f"{self.path} is damaged; delete it and start anew.")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Run statements as one transaction, taken back if anything stops it, Ctrl-C included."""
        with self._lock, self._said_plainly():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ResourceError(
                f"The memory {self.path} cannot be used ({error}); is the disk full, the file "
                "read-only, or another program writing to it?"
            ) from error
        except sqlite3.DatabaseError as error:
            raise ConfigError(
                f"{self.path} is no memory or is damaged ({error}); choose another file."
            ) from error

    def _evict(self, db: sqlite3.Connection) -> None:
        """Delete the oldest traces beyond the limits."""
        db.execute(
            """
            DELETE FROM traces WHERE id NOT IN (
                SELECT id FROM (
                    SELECT id,
                           COUNT(*) OVER newest AS number,
                           SUM(LENGTH(CAST(trace AS BLOB))) OVER newest AS bytes
                    FROM traces WINDOW newest AS (ORDER BY id DESC)
                ) WHERE number <= ? AND bytes <= ?
            )
            """,
            (self.limits.max_traces, self.limits.max_bytes),
        )


def _make_private(path: Path) -> None:
    """Make the file if it is not there, and take it from everybody but its owner."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if sys.platform != "win32" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise ResourceError(
            f"The memory {path} cannot be opened for writing ({error.strerror or error}); choose "
            "a file of your own in a folder that exists."
        ) from error


def _digest(question: str) -> str:
    return hashlib.sha256(same_question(question).encode()).hexdigest()


def same_question(question: str) -> str:
    """Return what is equal for questions that differ in case and blanks only."""
    return " ".join(question.casefold().split())


def _trace(text: str) -> SolvedTrace | None:
    try:
        return SolvedTrace.model_validate_json(text)
    except ValidationError:
        return None


def _words_of(trace: SolvedTrace) -> str:
    """Return all that a person could look for in a trace."""
    parts = [trace.question, trace.answer]
    for call in trace.calls:
        parts += [json.dumps(call.arguments, ensure_ascii=False), call.result]
    return "\n".join(parts)
