"""Passages: pieces of documents that are short enough for a small model to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgeagent.agent.tools.documents.blocks import Block
from edgeagent.agent.tools.plain import one_line

PASSAGE_WORDS = 110
"""Passages are about this long: a small model reads one in a fraction of a second."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Attributes:
        source: Path of the file, relative to the folder, with forward slashes.
        title: The document's first heading or its file name, and the section's heading.
        text: The passage on one line.
        page: Page that it stands on, counted from 1; `None` where a format has no pages.
    """

    source: str
    title: str
    text: str
    page: int | None = None

    @property
    def label(self) -> str:
        """Where it comes from, as a person would say it: `handbook.pdf, page 3`."""
        return self._with_page(self.source)

    @property
    def heading(self) -> str:
        """What it is about, on one line."""
        return self._with_page(self.title)

    def _with_page(self, name: str) -> str:
        name = one_line(name)
        return name if self.page is None else f"{name}, page {self.page}"


def split_document(source: str, blocks: Iterable[Block]) -> Iterator[Passage]:
    """Split a document at headings, pages and paragraphs into passages.

    They have about `PASSAGE_WORDS` words, and never more than twice as many.
    """
    document_title = PurePosixPath(source).stem.replace("-", " ").replace("_", " ").capitalize()
    section = ""
    page: int | None = None
    paragraphs: list[str] = []
    found_title = False

    def flush() -> Iterator[Passage]:
        title = f"{document_title} - {section}" if section else document_title
        for text in _pieces(paragraphs):
            yield Passage(source, title, text, page)
        paragraphs.clear()

    for block in blocks:
        if block.is_heading or block.page != page:
            yield from flush()
            page = block.page
        if not block.is_heading:
            paragraphs.append(block.text)
        elif found_title:
            section = block.text
        else:
            document_title, found_title = block.text, True
    yield from flush()


def _pieces(paragraphs: Iterable[str]) -> Iterator[str]:
    words: list[str] = []
    for paragraph in paragraphs:
        new = paragraph.split()
        if words and len(words) + len(new) > PASSAGE_WORDS:
            yield " ".join(words)
            words = []
        words += new
        start = 0
        while len(words) - start > 2 * PASSAGE_WORDS:
            yield " ".join(words[start : start + PASSAGE_WORDS])
            start += PASSAGE_WORDS
        words = words[start:]
    if words:
        yield " ".join(words)
