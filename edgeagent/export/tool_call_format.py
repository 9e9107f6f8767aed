"""How a model writes tool calls, told from its chat template."""

from __future__ import annotations

from edgeagent.config.model import ToolCallFormat

_MARKUP: tuple[tuple[ToolCallFormat, tuple[str, ...]], ...] = (
    (ToolCallFormat.SMOLLM3, ("xml_tools", "<tool_call>")),
    (ToolCallFormat.HERMES, ("<tool_call>", "<tool_response>")),
    (ToolCallFormat.MISTRAL, ("[TOOL_CALLS]", "[AVAILABLE_TOOLS]")),
    (ToolCallFormat.PHI4, ("<|tool|>",)),
    (ToolCallFormat.LLAMA3_JSON, ("<|start_header_id|>", "ipython", '"parameters"')),
    (ToolCallFormat.GEMMA, ("<start_of_turn>",)),
)
"""What all of stands in a template of the format; the first that fits counts."""


def tool_call_format_of(chat_template: str | None) -> ToolCallFormat:
    """The format that a template asks for; few-shot examples where it knows no tools."""
    template = chat_template or ""
    for found, markup in _MARKUP:
        if all(text in template for text in markup):
            return found
    return ToolCallFormat.COMPACT
