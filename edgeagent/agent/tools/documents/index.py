"""The index over a folder of documents: in a file that lasts, or in memory."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edgeagent.agent.tools.documents import store as database
from edgeagent.agent.tools.documents.extract import Extractor
from edgeagent.agent.tools.documents.passages import Passage
from edgeagent.agent.tools.documents.readers import READERS
from edgeagent.agent.tools.documents.refresh import OnProgress, Refresh
from edgeagent.agent.tools.documents.words import WORD, content_words
from edgeagent.config.paths import home_dir
from edgeagent.errors import ConfigError, ToolError

_MAX_QUERY_WORDS = 40


class DocumentIndex:
    """A full-text index over the documents of a folder; thread-safe.

    `index_folder` makes the one of a user's documents, `index_suite` that of a suite's.

    Attributes:
        folder: Where the documents lie.
        notes: A sentence for each document that was left out, and why; show them to the user.
    """

    def __init__(
        self, folder: Path, *, file: Path | None = None, on_progress: OnProgress | None = None
    ) -> None:
        """Read what is new in the folder.

        Args:
            folder: Where the documents lie.
            file: Database that keeps the index; `None` keeps it in memory.
            on_progress: Told how many documents are done, and how many there are.

        Raises:
            ConfigError: The folder cannot be read or has no documents that can, or this Python's
                SQLite has no full-text search.
            ResourceError: The process that parses documents cannot be started.
            sqlite3.Error: The database is damaged or cannot be written.
            OSError: The same, from the system.
        """
        self.folder = folder
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder of documents.")
        self._file = file
        self._is_damaged = False
        self._store = database.PassageStore(file, folder.resolve())
        try:
            with contextlib.closing(Extractor()) as extractor:
                self.notes = Refresh(self._store, folder, extractor).run(on_progress)
            if not self.passages:
                raise ConfigError(
                    f"{folder} has no documents to search ({' '.join(READERS)})."
                    + "".join(f" {note}" for note in self.notes[:1])
                )
        except BaseException:
            self._store.close()
            raise

    @property
    def passages(self) -> int:
        """Number of passages."""
        return self._store.count()

    def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """Return the best passages for the words of the query, best first.

        Words are alternatives: the ranking prefers passages with more and rarer ones. Words in
        the title count double.

        Raises:
            ToolError: The index is damaged.
        """
        words = content_words(query) or tuple(WORD.findall(query.lower()))
        if not words:
            return ()
        with self._asking():
            return self._store.best(tuple(dict.fromkeys(words[:_MAX_QUERY_WORDS])), limit)

    def coverage(self, question: str) -> float:
        """Return how much of the question the passage that knows most of it knows, 0 to 1.

        Words weigh by their rarity, as in BM25; a word that is in no document weighs most.

        Raises:
            ToolError: The index is damaged.
        """
        known: dict[int, float] = {}
        total = 0.0
        with self._asking():
            passages = self.passages
            for word in content_words(question):
                rows = self._store.rows_with(word)
                weight = math.log(1 + passages / (len(rows) + 0.5))
                total += weight
                for row in rows:
                    known[row] = known.get(row, 0.0) + weight
        return max(known.values(), default=0.0) / total if total else 0.0

    def close(self) -> None:
        """Free the index; the file stays, unless it turned out to be damaged."""
        self._store.close()
        if self._is_damaged and self._file is not None:
            with contextlib.suppress(OSError):  # in use elsewhere; the next start tries again
                database.delete(self._file)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._is_damaged |= _is_damage(error)
            raise ToolError(f"the index of the documents cannot be read ({error})") from error


def index_folder(folder: Path, on_progress: OnProgress | None = None) -> DocumentIndex:
    """Return the index of a user's documents; later only what has changed is read again.

    It is kept below the cache folder. If it cannot be kept there it is made in memory, and a note
    says so. Indexes of folders that are gone are deleted.

    Raises:
        ConfigError: The folder cannot be read or has no documents that can, or this Python's
            SQLite has no full-text search.
        ResourceError: The process that parses documents cannot be started.
    """
    file = index_file(folder)
    try:
        _forget_gone_folders(file.parent)
        try:
            return DocumentIndex(folder, file=file, on_progress=on_progress)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            database.delete(file)
            return DocumentIndex(folder, file=file, on_progress=on_progress)
    except (sqlite3.Error, OSError) as error:
        index = DocumentIndex(folder, on_progress=on_progress)
        index.notes += (f"The index cannot be kept in {file.parent} ({error}); it is in memory.",)
        return index


def index_suite(folder: Path) -> DocumentIndex:
    """Return the index of a suite's documents, made anew in memory.

    Figures are only comparable if everybody searches the same texts, so every document counts.

    Raises:
        ConfigError: A document cannot be read, or there is none.
        ResourceError: The process that parses documents cannot be started.
    """
    index = DocumentIndex(folder)
    if index.notes:
        index.close()
        raise ConfigError(f"{folder}: {index.notes[0]}")
    return index


def index_file(folder: Path) -> Path:
    """Return the file that keeps the index of a folder."""
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    return home_dir() / "indexes" / f"{digest[:32]}.sqlite"


def _forget_gone_folders(indexes: Path) -> None:
    """Delete the indexes of folders that are gone: they are copies of what was deleted."""
    for file in indexes.glob("*.sqlite"):
        folder = database.folder_of(file)
        if folder is not None and not folder.is_dir():
            with contextlib.suppress(OSError):  # in use elsewhere
                database.delete(file)


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is no proper database, other than locked, full or not writable."""
    return type(error) is sqlite3.DatabaseError
