"""The tool that reads files: texts as they are, documents of rich formats by their readers."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence

from edgeagent.agent.tools.documents.extract import Extractor
from edgeagent.agent.tools.documents.readers import reader_of
from edgeagent.agent.tools.documents.readers.text import decode
from edgeagent.agent.tools.documents.reading import read_bytes
from edgeagent.agent.tools.files.roots import Found, Roots
from edgeagent.agent.tools.plain import one_line, printable
from edgeagent.agent.tools.protocol import JsonSchema, ToolResult, object_schema, string_argument
from edgeagent.errors import ResourceError, ToolError

MAX_TEXT_BYTES = 8 << 20
PAGE_CHARS = 900
"""Characters that are shown at once: with the longest name before them, no observation is cut."""

_SHOWN_CHARS = 80
_MIN_WORD_CHARS = 4
_MAX_OFFERED = 20
_LOOKED_AT_BYTES = 8192
_MAX_ODD_SHARE = 0.1
_ODD = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]")

_PARAMETERS: JsonSchema = {
    "type": "object",
    "properties": {
        "path": {
            "type": "string",
            "description": "Name of the file",
            "minLength": 1,
            "maxLength": 200,
        },
        "offset": {
            "type": "integer",
            "description": "Characters to skip, for the rest of a long text",
            "minimum": 0,
            "maximum": 99_999_999,
        },
    },
    "required": ["path"],
    "additionalProperties": False,
}


class ReadFile:
    """Shows the text of a file, page by page."""

    name = "read_file"
    is_delegate = False
    description = "Read a text file or document, by its name as it is listed."
    parameters = _PARAMETERS

    def __init__(self, roots: Roots, page_chars: int = PAGE_CHARS) -> None:
        """Read what lies in `roots`, `page_chars` characters at once."""
        self._roots = roots
        self._page_chars = page_chars
        self._extractor = Extractor()
        self._lock = threading.Lock()
        self._kept: tuple[tuple[object, ...], str] = ((), "")

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to read the files that the question names."""
        del results
        named = named_files(question, self._roots.listing().names)
        if not named:
            return None
        return object_schema(path={"type": "string", "enum": list(named)})

    def run(self, arguments: Mapping[str, object]) -> ToolResult:
        """Return a page of the file's text, after its name and place.

        Raises:
            ToolError: There is no such file, it is no text, or it has no such page.
        """
        offset = arguments.get("offset", 0)
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise ToolError("the argument 'offset' must be a number from 0")
        path = string_argument(arguments, "path")
        try:
            found = self._roots.find(path)
            text = self._text(found)
        except ToolError as error:
            raise ToolError(f"{one_line(path, _SHOWN_CHARS)}: {error}") from error
        name = one_line(found.name)
        if offset >= len(text):
            raise ToolError(f"{name}: there are only {len(text)} characters")
        page = text[offset : offset + self._page_chars]
        place = name
        if len(page) < len(text):
            end = offset + len(page)
            place += f", characters {offset} to {end} of {len(text)}"
            place += f", next offset {end}" if end < len(text) else ""
        return ToolResult(f"[{place}] {page.strip()}", (name,))

    def close(self) -> None:
        """End the process that parses documents."""
        self._extractor.close()

    def _text(self, found: Found) -> str:
        reader = reader_of(found.inner)
        if reader is not None and reader.isolated:
            text = self._parsed(found)
        else:
            text = plain_text(read_bytes(found.folder, found.inner, MAX_TEXT_BYTES))
        text = printable(text)
        if not text.strip():
            raise ToolError("it is empty")
        return text

    def _parsed(self, found: Found) -> str:
        """Return a document's text, kept for its next pages while the file is the same."""
        with found.open() as file:
            facts = os.fstat(file.fileno())
        key = (found.name, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        with self._lock:
            if key == self._kept[0]:
                return self._kept[1]
        try:
            document = self._extractor.read(found.folder, found.inner)
        except ResourceError as error:
            raise ToolError("it cannot be parsed now; there is too little memory") from error
        text = "\n".join(block.text for block in document.blocks)
        with self._lock:
            self._kept = (key, text)
        return text


def plain_text(data: bytes) -> str:
    """Return the content of a text file.

    Raises:
        ToolError: It is no text.
    """
    text = decode(data)
    start = text[:_LOOKED_AT_BYTES]
    if "\0" in start or len(_ODD.findall(start)) > _MAX_ODD_SHARE * len(start):
        raise ToolError("it is no text file")
    return text


def named_files(question: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the files that a question names, by their path or their last part, longest first.

    A name counts as a whole: `trip.md` does not name `p.md`. A name without a dot is an ordinary
    word as often as not, so it only counts as it is written.
    """
    asked = question.casefold()
    found: list[str] = []
    for name in names:
        last = name.rpartition("/")[2]
        if "." in last:
            is_named = any(_stands_in(part.casefold(), asked) for part in (name, last))
        else:
            is_named = len(last) >= _MIN_WORD_CHARS and _stands_in(last, question)
        if is_named:
            found.append(name)
    return tuple(sorted(found, key=lambda name: (-len(name), name))[:_MAX_OFFERED])


def _stands_in(name: str, text: str) -> bool:
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        before, after = text[start - 1 : start], text[end : end + 2]
        begins = not (before.isalnum() or before in tuple("._-/\\"))
        # A sentence may end behind it, a longer name may not go on.
        ends = not (after[:1].isalnum() or after[:1] in tuple("_-/\\")) and not (
            after[:1] == "." and after[1:].isalnum()
        )
        if begins and ends:
            return True
        start = text.find(name, start + 1)
    return False
