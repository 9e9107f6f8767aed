"""The tool that lists files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edgeagent.agent.tools.files.roots import MAX_LISTED, Roots
from edgeagent.agent.tools.protocol import JsonSchema
from edgeagent.errors import ToolError

PAGE_FILES = 40
"""Names that are shown at once: what a small model can still read."""

_ASKS_FOR_FILES = re.compile(
    r"\b(?:list|show|name|which|what|how many|all|any|count)"
    r"(?: (?:me|us|of|all|the|my|our|your|these|those|there|is|are|in|other|local|text)){0,5}"
    r" (?:files|documents|folders|folder|directory|directories)\b",
    re.IGNORECASE,
)

_PARAMETERS: JsonSchema = {
    "type": "object",
    "properties": {
        "folder": {
            "type": "string",
            "description": "List only this folder",
            "maxLength": 200,
        },
        "offset": {
            "type": "integer",
            "description": "Names to skip, for the rest of a long list",
            "minimum": 0,
            "maximum": MAX_LISTED,
        },
    },
    "required": [],
    "additionalProperties": False,
}


class ListFiles:
    """Lists the names of the files that may be read."""

    name = "list_files"
    is_delegate = False
    description = "List the names of the files that can be read."
    parameters = _PARAMETERS

    def __init__(self, roots: Roots, page_files: int = PAGE_FILES) -> None:
        """List what lies in `roots`, `page_files` names at once."""
        self._roots = roots
        self._page_files = page_files

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to list everything if the question asks for files."""
        del results
        if not _ASKS_FOR_FILES.search(question):
            return None
        return {"type": "object", "properties": {}, "required": [], "additionalProperties": False}

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return the names, one a line, with a remark if there are more.

        Raises:
            ToolError: There is no such folder, or there are no files.
        """
        folder, offset = arguments.get("folder", ""), arguments.get("offset", 0)
        if not isinstance(folder, str):
            raise ToolError("the argument 'folder' must be a text")
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise ToolError("the argument 'offset' must be a number from 0")
        listing = self._roots.listing()
        prefix = f"{folder.strip().strip('/')}/".removeprefix("./")
        names = [name for name in listing.names if prefix in ("/", "./") or name.startswith(prefix)]
        if not names:
            raise ToolError("there are no files" + ("" if prefix == "/" else " in this folder"))
        shown = names[offset : offset + self._page_files]
        if not shown:
            raise ToolError(f"there are only {len(names)} files")
        remarks: list[str] = []
        if len(shown) < len(names):
            remarks.append(f"files {offset + 1} to {offset + len(shown)} of {len(names)}")
        if listing.left_out and prefix == "/":
            remarks.append(f"{listing.left_out} not shown: links or unreadable names")
        if not listing.is_complete:
            remarks.append(f"there are more than {MAX_LISTED} files")
        return "\n".join([*shown, *(f"({remark})" for remark in remarks)])
