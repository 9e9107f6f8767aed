"""Telling from a chat template how a model calls tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.agent.formats import FORMAT_NAMES
from edgeagent.config.model import ToolCallFormat
from edgeagent.export.tool_call_format import tool_call_format_of


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, "compact"),
        ("<|im_start|>{{ message.role }}", "compact"),
        ("{{ tool | tojson }} <tool_call> <tool_response>", "hermes"),
        ("{% if xml_tools %}<tool_call>{% endif %}", "smollm3"),
        ("[AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS]", "mistral"),
        ("'<|tool|>' + message['tools'] + '<|/tool|>'", "phi4"),
        ('<|start_header_id|>ipython<|end_header_id|> "parameters": ', "llama3_json"),
        ("<|start_header_id|>{{ role }}<|end_header_id|>", "compact"),
        ("<start_of_turn>{{ role }}", "gemma"),
    ],
)
def test_the_markup_of_a_template_tells_the_format(template: str | None, expected: str) -> None:
    assert tool_call_format_of(template).value == expected


def test_the_real_template_of_the_default_model_has_no_tools(smollm2_package: Path) -> None:
    template = (smollm2_package / "chat_template.jinja").read_text(encoding="utf-8")
    assert tool_call_format_of(template) is ToolCallFormat.COMPACT


def test_recipes_name_formats_that_there_are() -> None:
    assert {found.value for found in ToolCallFormat} == set(FORMAT_NAMES)
