"""The document search tool: BM25 over a local folder, in an SQLite full-text index in memory."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeagent.agent.tools.protocol import (
    JsonSchema,
    object_schema,
    pattern_schema,
    string_argument,
    text_schema,
)
from edgeagent.agent.tools.sentences import sentences
from edgeagent.config.suites import document_files
from edgeagent.errors import ConfigError, ToolError

MAX_FILE_BYTES = 8 << 20
MAX_FILES = 20_000
PASSAGE_WORDS = 110
"""Passages are about this long: a small model reads one in a fraction of a second."""

MIN_COVERAGE = 0.5
"""A search is offered if a passage knows this part of the question's words, weighted by rarity."""

_WORD = re.compile(r"\w+")
_STEM_CHARS = 5
_STOP_WORDS = frozenset(
    """
    a about am an and any are as at be been but by can could did do does for from had has have
    how i if in into is it its many me much my of on one or our please s shall she should so tell
    than that the their them there these they this to us was we were what when where which who
    whom whose why will with would you your
    """.split()  # noqa: SIM905 - a list of forty quoted words is harder to read
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Attributes:
        source: Path of the file, relative to the folder, with forward slashes.
        title: The document's first heading or its file name, and the section's heading.
        text: The passage on one line.
    """

    source: str
    title: str
    text: str


class DocumentIndex:
    """A full-text index over the `.md` and `.txt` files of a folder."""

    def __init__(self, folder: Path) -> None:
        """Read and index the folder.

        Raises:
            ConfigError: The folder cannot be read or has no documents, or this Python's SQLite
                has no full-text search.
        """
        # The profile runs tools in the thread that made them; `serve` may not.
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self._db.execute(
                "CREATE VIRTUAL TABLE passages USING fts5"
                "(title, text, source UNINDEXED, tokenize = 'porter unicode61 remove_diacritics 2')"
            )
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"This Python's SQLite has no FTS5 full-text search ({error}); use a Python whose "
                "sqlite3 module has it."
            ) from error
        rows = [(p.title, p.text, p.source) for p in _read_folder(folder)]
        if not rows:
            raise ConfigError(f"{folder} has no .md or .txt documents to search.")
        self._db.executemany("INSERT INTO passages VALUES (?, ?, ?)", rows)
        self._db.commit()
        self.passages = len(rows)

    def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """Return the best passages for the words of the query, best first.

        Words are alternatives: the ranking prefers passages with more and rarer ones. Words in
        the title count double.
        """
        words = content_words(query) or tuple(_WORD.findall(query.lower()))
        if not words:
            return ()
        # Quoted, so that nothing in a query is an operator of the full-text language.
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(words[:40]))
        rows = self._db.execute(
            "SELECT source, title, text FROM passages WHERE passages MATCH ? "
            "ORDER BY bm25(passages, 2.0, 1.0), rowid LIMIT ?",
            (match, limit),
        )
        return tuple(Passage(*row) for row in rows)

    def coverage(self, question: str) -> float:
        """Return how much of the question the passage that knows most of it knows, 0 to 1.

        Words weigh by their rarity, as in BM25; a word that is in no document weighs most.
        """
        known: dict[int, float] = {}
        total = 0.0
        for word in content_words(question):
            rows = self._db.execute(
                "SELECT rowid FROM passages WHERE passages MATCH ?", (f'"{word}"',)
            ).fetchall()
            weight = math.log(1 + self.passages / (len(rows) + 0.5))
            total += weight
            for (row,) in rows:
                known[row] = known.get(row, 0.0) + weight
        return max(known.values(), default=0.0) / total if total else 0.0

    def close(self) -> None:
        """Free the index."""
        self._db.close()


class DocumentSearch:
    """Searches the documents and shows the best passages."""

    name = "search"
    is_delegate = False
    description = (
        "Search the local documents. Use it for facts about the people, places, products and "
        "organizations that they describe."
    )
    parameters = object_schema(query=text_schema("Key words of the question", 80))

    def __init__(self, index: DocumentIndex, max_passages: int = 1, max_sentences: int = 2) -> None:
        """Search `index`; show up to `max_passages` passages of up to `max_sentences` each."""
        self._index = index
        self._max_passages = max_passages
        self._max_sentences = max_sentences

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to search for words of the question, if the documents know enough of them."""
        if self._index.coverage(question) < MIN_COVERAGE:
            return None
        words = dict.fromkeys(_WORD.findall(" ".join((question, *results))))
        alternatives = "|".join([word for word in words if word.lower() not in _STOP_WORDS][:60])
        pattern = f"({alternatives})( ({alternatives})){{0,9}}"
        return object_schema(query=pattern_schema("", pattern))

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return the best passages for `query`, each with its title.

        Raises:
            ToolError: Nothing was found.
        """
        query = string_argument(arguments, "query")
        found = self._index.search(query, self._max_passages)
        if not found:
            raise ToolError("no document matches these words")
        return "\n".join(
            f"[{passage.title}] {best_sentences(passage, query, self._max_sentences)}"
            for passage in found
        )


def content_words(text: str) -> tuple[str, ...]:
    """Return the different words of a text, lower case, without those that every text has."""
    words = _WORD.findall(text.lower())
    return tuple(dict.fromkeys(word for word in words if word not in _STOP_WORDS))


def best_sentences(passage: Passage, query: str, limit: int) -> str:
    """Return the sentences of a passage that share most with the query, in their order.

    The less a very small model reads, the more likely it answers with the right sentence. Words of
    the title say what the whole passage is about and so do not count. Words are the same if they
    begin alike, which takes `costs` for `cost`.
    """
    parts = sentences(passage.text)
    wanted = _stems(query) - _stems(passage.title)
    shared = [len(wanted & _stems(part)) for part in parts]
    best = [part for part, count in zip(parts, shared, strict=True) if count == max(shared)]
    return " ".join(best[:limit])


def _stems(text: str) -> set[str]:
    return {word[:_STEM_CHARS] for word in content_words(text)}


def _read_folder(folder: Path) -> Iterator[Passage]:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder of documents.")
    files = document_files(folder)
    if len(files) > MAX_FILES:
        raise ConfigError(f"{folder} has more than {MAX_FILES} documents; choose a subfolder.")
    for path in files:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB; split it.")
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
        # Names need not be text on every system; what is not becomes replacement characters.
        name = path.relative_to(folder).as_posix().encode(errors="surrogateescape")
        yield from split_document(name.decode(errors="replace"), text)


def split_document(source: str, text: str) -> Iterator[Passage]:
    """Split a document at headings and paragraphs into passages of about `PASSAGE_WORDS` words."""
    document_title = Path(source).stem.replace("-", " ").replace("_", " ").capitalize()
    section = ""
    paragraphs: list[str] = []
    found_title = False

    def flush() -> Iterator[Passage]:
        title = f"{document_title} - {section}" if section else document_title
        words: list[str] = []
        for paragraph in paragraphs:
            new = paragraph.split()
            if words and len(words) + len(new) > PASSAGE_WORDS:
                yield Passage(source, title, " ".join(words))
                words = []
            words += new
            while len(words) > 2 * PASSAGE_WORDS:
                yield Passage(source, title, " ".join(words[:PASSAGE_WORDS]))
                words = words[PASSAGE_WORDS:]
        if words:
            yield Passage(source, title, " ".join(words))
        paragraphs.clear()

    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        for line_block in re.split(r"(?m)^(?=#{1,6} )", block):
            heading, _, body = line_block.partition("\n")
            if match := re.match(r"#{1,6} +(.*)", heading):
                yield from flush()
                name = match.group(1).strip("# ").strip()
                if found_title:
                    section = name
                else:
                    document_title, found_title = name, True
            else:
                body = line_block
            if body.strip():
                paragraphs.append(" ".join(body.split()))
    yield from flush()
