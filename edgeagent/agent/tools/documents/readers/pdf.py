"""PDF, by pypdf."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from edgeagent.agent.tools.documents.blocks import Block, PartlyReadError
from edgeagent.agent.tools.plain import printable
from edgeagent.errors import ToolError

MAX_PAGES = 10_000

_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]\n(?=[a-zß-öø-ÿ])")
_PARAGRAPH_END = re.compile(r"\n\s*\n|(?<=[.!?:;])\s*\n")
"""Lines are broken anywhere; a line that ends a sentence may end a paragraph, too."""


def read_pdf(data: bytes) -> Iterator[Block]:
    """Yield the text of the pages, as far as it is text and not a picture of one.

    Raises:
        PartlyReadError: Some pages could not be read; raised after the others.
        ToolError: It is encrypted, has too many pages, or holds no text.
    """
    from pypdf import PasswordType, PdfReader
    from pypdf.errors import DependencyError

    reader = PdfReader(io.BytesIO(data), strict=False)
    try:
        # Many files may be read by everybody and are protected against changes only.
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise ToolError("it is protected by a password")
    except DependencyError as error:
        raise ToolError(
            "it is encrypted in a way that needs the package cryptography; run: "
            "pip install cryptography"
        ) from error
    count = len(reader.pages)
    if count > MAX_PAGES:
        raise ToolError(f"it has {count} pages, more than {MAX_PAGES}")
    found = False
    damaged = 0
    for number, page in enumerate(reader.pages, 1):
        try:
            page_text = page.extract_text()
        except MemoryError:
            raise
        except Exception:  # a single odd font shall not hide all other pages
            damaged += 1
            continue
        for paragraph in _PARAGRAPH_END.split(_HYPHEN.sub("", page_text)):
            if text := " ".join(printable(paragraph).split()):
                found = True
                yield Block(text, page=number)
    if damaged and not found:
        raise ToolError("it is damaged: none of its pages can be read")
    if damaged:
        raise PartlyReadError(f"{damaged} of its {count} pages cannot be read")
    if not found:
        raise ToolError("its pages hold no text, only pictures of it perhaps")
