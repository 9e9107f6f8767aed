"""Markdown and plain text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from edgeagent.agent.tools.documents.blocks import Block

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(data: bytes) -> Iterator[Block]:
    """Yield the headings and paragraphs; a line that begins with `# ` is a heading."""
    for part in re.split(r"\n\s*\n", decode(data)):
        for line_block in re.split(r"(?m)^(?=#{1,6} )", part):
            heading, _, body = line_block.partition("\n")
            if match := re.match(r"#{1,6} +(.*)", heading):
                yield Block(match.group(1).strip("# ").strip(), is_heading=True)
            else:
                body = line_block
            if body.strip():
                yield Block(" ".join(body.split()))


def decode(data: bytes) -> str:
    """Return bytes as text with line feeds only; UTF-8 unless a byte order mark says otherwise.

    What is no text in that encoding becomes replacement characters.
    """
    encoding, start = "utf-8", 0
    for mark, marked in _MARKS:
        if data.startswith(mark):
            encoding, start = marked, len(mark)
    text = data[start:].decode(encoding, errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")
