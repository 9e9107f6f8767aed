"""Bringing an index up to date with its folder."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from edgeagent.agent.tools.documents.extract import Extractor
from edgeagent.agent.tools.documents.passages import split_document
from edgeagent.agent.tools.documents.readers import READERS, how_to_install, reader_of
from edgeagent.agent.tools.documents.reading import read_bytes
from edgeagent.agent.tools.documents.store import (
    MAX_PASSAGES_PER_DOCUMENT,
    FileState,
    PassageStore,
)
from edgeagent.agent.tools.files.inside import open_inside
from edgeagent.agent.tools.files.walk import walk
from edgeagent.agent.tools.plain import one_line
from edgeagent.errors import ConfigError, ToolError

MAX_FILES = 20_000
MAX_NOTES = 20

OnProgress = Callable[[int, int], None]
"""Told how many documents are up to date, and how many there are."""

_CLOCK_STEP_NS = 2_000_000_000
"""A file that was changed so shortly before it was read may have been changed after it, under the
same time: file systems count in steps of up to two seconds (FAT)."""


class Refresh:
    """One pass over a folder: reads what is new, forgets what is gone, notes what it left out."""

    def __init__(self, store: PassageStore, folder: Path, extractor: Extractor) -> None:
        """Prepare.

        Args:
            store: What is brought up to date.
            folder: Where the documents lie.
            extractor: Reads them.
        """
        self._store = store
        self._folder = folder
        self._extractor = extractor
        # Looking for packages takes longer than looking at a file.
        self._versions = {
            suffix: reader.version() if reader.is_installed() else None
            for suffix, reader in READERS.items()
        }
        self._removed = False
        self._left_out: list[tuple[str, str]] = []
        self._without_reader: Counter[str] = Counter()

    def run(self, on_progress: OnProgress | None = None) -> tuple[str, ...]:
        """Bring the index up to date; return a sentence for everything that was left out.

        Each document is written by itself, so what was done stays done if this is interrupted.

        Raises:
            ConfigError: The folder cannot be read or has too many documents.
            ResourceError: The process that parses documents cannot be started.
            sqlite3.Error: The index cannot be written.
        """
        names = self._names()
        for number, name in enumerate(names, 1):
            self._update(name)
            if on_progress is not None:
                on_progress(number, len(names))
        self._forget_others(names)
        if self._removed:
            self._store.compact()
        return self._notes()

    def _names(self) -> list[str]:
        try:
            found = sorted(filter(reader_of, walk(self._folder, self._leave_out)))
        except OSError as error:
            raise ConfigError(
                f"{self._folder} is not a folder of documents that can be read ({error.strerror})."
            ) from error
        if len(found) > MAX_FILES:
            raise ConfigError(
                f"{self._folder} has more than {MAX_FILES} documents; choose a subfolder."
            )
        return found

    def _leave_out(self, name: str, reason: str) -> None:
        # Links to programs and the like were never meant as documents.
        if reader_of(name) or not PurePosixPath(name).suffix:
            self._left_out.append((name, reason))

    def _update(self, name: str) -> None:
        key, suffix = os.fsencode(name), PurePosixPath(name).suffix.lower()
        reader, version = READERS[suffix], self._versions[suffix]
        known = self._store.state(key)
        try:
            state = _state(self._folder / name, version or "")
        except OSError:
            return  # it has just been deleted
        if known is not None and _is_unchanged(known, state):
            return
        if version is None:
            self._without_reader[reader.package or ""] += 1
            if known is not None:
                self._store.remove(key)
                self._removed = True
            return
        try:
            if known is not None and known.problem is None:
                data = read_bytes(self._folder, name, reader.max_bytes)
                if hashlib.sha256(data).hexdigest() == known.sha256:
                    self._store.touch(key, replace(state, sha256=known.sha256))
                    return
                self._removed = True
            document = self._extractor.read(self._folder, name)
            passages = tuple(split_document(_shown(name), document.blocks))
            if len(passages) >= MAX_PASSAGES_PER_DOCUMENT:
                raise ToolError("it consists of too many parts")
        except ToolError as error:
            self._store.replace(key, replace(state, problem=str(error)), ())
        else:
            read = replace(state, sha256=document.sha256, problem=document.remark)
            self._store.replace(key, read, passages)

    def _forget_others(self, names: list[str]) -> None:
        present = set(map(os.fsencode, names))
        gone = [name for name in self._store.names() if name not in present]
        # Another process may have seen files that came after this one looked.
        for name in gone:
            if not _is_there(self._folder, os.fsdecode(name)):
                self._store.remove(name)
                self._removed = True

    def _notes(self) -> tuple[str, ...]:
        packages = {reader.package: reader for reader in READERS.values()}
        notes = [
            f"{count} {_suffixes(package)} {'document was' if count == 1 else 'documents were'} "
            f"not read: {how_to_install(packages[package])}"
            for package, count in self._without_reader.items()
        ]
        left_out = [(name, reason, False) for name, reason in self._left_out]
        left_out += [(os.fsdecode(key), why, some) for key, why, some in self._store.problems()]
        notes += [
            f"{one_line(_shown(name))} was {'read in part' if some else 'not read'}: {reason}"
            for name, reason, some in sorted(left_out)
        ]
        if len(notes) > MAX_NOTES:
            notes[MAX_NOTES - 1 :] = [f"{len(notes) - MAX_NOTES + 1} more were not read"]
        return tuple(f"{note}." for note in notes)


def _state(path: Path, reader_version: str) -> FileState:
    """Return how a file is now, before it is read; without a digest.

    Raises:
        OSError: It is not there.
    """
    read_ns = time.time_ns()
    facts = path.stat()
    return FileState(
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        read_ns=read_ns,
        sha256="",
        problem=None,
        reader=reader_version,
    )


def _is_unchanged(known: FileState, now: FileState) -> bool:
    same = (known.size, known.mtime_ns, known.ctime_ns) == (now.size, now.mtime_ns, now.ctime_ns)
    settled = max(known.mtime_ns, known.ctime_ns) < known.read_ns - _CLOCK_STEP_NS
    # Another version of a parser may read what the last one could not.
    return same and settled and (known.problem is None or known.reader == now.reader)


def _is_there(folder: Path, name: str) -> bool:
    try:
        open_inside(folder, name).close()
    except ToolError:
        return False
    return True


def _shown(name: str) -> str:
    """Names need not be text on every system; what is not becomes replacement characters."""
    return os.fsencode(name).decode(errors="replace")


def _suffixes(package: str) -> str:
    return " and ".join(suffix for suffix, reader in READERS.items() if reader.package == package)
