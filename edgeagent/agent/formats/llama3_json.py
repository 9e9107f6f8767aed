r"""The JSON calls of Llama 3.x: an object alone, with `parameters`.

    {"name": "calculator", "parameters": {"expression": "23 * 47"}}

Several calls are separated by semicolons. The template shows the tools in the first user turn,
where they would be prefilled again for each task, unless it is told not to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgeagent.agent.formats.native import NativeFormat
from edgeagent.agent.formats.notation import JSON
from edgeagent.agent.formats.protocol import Call, Example, Prefix, TurnRules
from edgeagent.agent.formats.reading import read_calls
from edgeagent.agent.formats.turn_grammar import (
    call_rules,
    several,
    text_terminal,
    turn_grammar,
)
from edgeagent.agent.tools.protocol import Tool

LLAMA3_MARKUP = ("<|python_tag|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
TOOLS_IN_SYSTEM: Mapping[str, object] = {"tools_in_user_message": False}
_PYTHON = "<|python_tag|>"


class Llama3JsonFormat(NativeFormat):
    """See the module."""

    name = "llama3_json"
    markup = LLAMA3_MARKUP
    openings = ("{", _PYTHON)

    def prefix(
        self,
        instructions: str,
        tools: Sequence[Tool],
        examples: Sequence[Example],
        *,
        thinking: bool = False,
    ) -> Prefix:
        """Return the instructions and the examples; the template shows the tools."""
        prefix = super().prefix(instructions, tools, examples, thinking=thinking)
        return replace(prefix, variables={**prefix.variables, **TOOLS_IN_SYSTEM})

    def grammar(self, rules: TurnRules) -> str:
        """Return the grammar of one turn; quotes are left aside."""
        lines = call_rules(
            rules, lambda name: (f'{{"name": {json.dumps(name)}, "parameters": ', "}")
        )
        return turn_grammar(
            rules, [several(rules, "call", "; ")], lines, text=text_terminal("<{[`", self.markup)
        )

    def write(self, calls: Sequence[Call]) -> str:
        """Return the calls."""
        return "; ".join(
            JSON.write({"name": call.tool, "parameters": call.arguments}) for call in calls
        )

    def read(self, text: str) -> tuple[Call, ...]:
        """Return the calls; some models of the family begin them with a tag of their own."""
        return read_calls(text.removeprefix(_PYTHON))
