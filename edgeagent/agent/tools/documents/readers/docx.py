"""Word documents, by python-docx."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgeagent.agent.tools.documents.blocks import Block
from edgeagent.agent.tools.plain import printable
from edgeagent.errors import ToolError

if TYPE_CHECKING:
    from docx.table import Table, _Cell
    from docx.text.paragraph import Paragraph

MAX_UNPACKED_BYTES = 256 << 20
MAX_PARTS = 10_000
_MAX_NESTED_TABLES = 8
_HEADING_STYLE = re.compile(r"title|heading [1-9]", re.IGNORECASE)


def read_docx(data: bytes) -> Iterator[Block]:
    """Yield the headings, paragraphs and rows of tables of the document's body.

    Raises:
        ToolError: It unpacks to far more than a document needs, or holds no text.
    """
    from docx import Document

    _check_archive(data)
    document = Document(io.BytesIO(data))
    found = False
    for item in document.iter_inner_content():
        for block in _blocks(item, 0):
            found = True
            yield block
    if not found:
        raise ToolError("it holds no text")


def _check_archive(data: bytes) -> None:
    """Refuse archives that grow without measure; an archive cannot unpack to more than it says."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ToolError("it is damaged or no Word document") from error
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise ToolError(f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")


def _blocks(item: Paragraph | Table, depth: int) -> Iterator[Block]:
    from docx.text.paragraph import Paragraph

    if isinstance(item, Paragraph):
        if text := " ".join(printable(item.text).split()):
            style = item.style
            name = "" if style is None else style.name or ""
            yield Block(text, is_heading=bool(_HEADING_STYLE.fullmatch(name)))
        return
    for row in item.rows:
        texts: list[str] = []
        before: _Cell | None = None
        for cell in row.cells:
            if cell is not before:  # one that spans several columns comes once for each of them
                texts.append(_cell_text(cell, depth))
            before = cell
        if any(texts):
            yield Block(" | ".join(filter(None, texts)))


def _cell_text(cell: _Cell, depth: int) -> str:
    if depth == _MAX_NESTED_TABLES:
        raise ToolError(f"its tables are nested more than {_MAX_NESTED_TABLES} deep")
    return " ".join(
        block.text for item in cell.iter_inner_content() for block in _blocks(item, depth + 1)
    )
