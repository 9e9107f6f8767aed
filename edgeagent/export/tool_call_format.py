"""How a model writes tool calls, told from its chat template."""

from __future__ import annotations

from edgeagent.config.model import ToolCallFormat


def tool_call_format_of(chat_template: str | None) -> ToolCallFormat:
    """The format that a template asks for; few-shot examples where it knows no tools."""
    template = chat_template or ""
    is_hermes = "<tool_call>" in template and "<tool_response>" in template
    return ToolCallFormat.HERMES if is_hermes else ToolCallFormat.COMPACT
