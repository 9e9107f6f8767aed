"""What a server answered, as the text that a model is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgeagent.agent.tools.mcp.texts import plain_text
from edgeagent.errors import ToolError

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock

MAX_RESULT_CHARS = 16_000
"""Agents are shown less; what is beyond is not worth looking at for control tokens."""

_NAME_CHARS = 120


def result_text(result: CallToolResult) -> str:
    """Return the texts of a result; pictures, sounds and files are named.

    Raises:
        ToolError: The server says that the call failed, or it says nothing.
    """
    parts = [_block_text(block) for block in result.content]
    if not any(parts) and result.structured_content is not None:
        # Otherwise servers repeat it in a text.
        parts = [json.dumps(result.structured_content, ensure_ascii=False, separators=(",", ":"))]
    text = "\n".join(part for part in parts if part).strip()
    if len(text) > MAX_RESULT_CHARS:
        text = f"{text[:MAX_RESULT_CHARS]} …"
    if result.is_error:
        raise ToolError(text or "the server says that the call failed")
    if not text:
        raise ToolError("the server answered with nothing")
    return text


def _block_text(block: ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text.strip()
        case "image" | "audio":
            size = len(block.data) * 3 // 4
            return f"({block.type}, {plain_text(block.mime_type, 40)}, {size} bytes, not shown)"
        case "resource_link":
            return f"(resource {plain_text(block.uri, _NAME_CHARS)}, not shown)"
        case "resource":
            text = getattr(block.resource, "text", None)
            name = plain_text(block.resource.uri, _NAME_CHARS)
            length = f", {len(text)} characters" if isinstance(text, str) else ""
            return f"(resource {name}{length}, not shown)"
