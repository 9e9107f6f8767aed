r"""The format of Phi-4-mini: a JSON list of calls between tags.

    <|tool_call|>[{"name": "calculator", "arguments": {"expression": "23 * 47"}}]<|/tool_call|>

Its template writes roles as tags, so a result has the role that the vocabulary has a tag for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.native import NativeFormat
from edgeagent.agent.formats.notation import JSON
from edgeagent.agent.formats.protocol import Call, Observation, TurnRules
from edgeagent.agent.formats.reading import read_calls
from edgeagent.agent.formats.turn_grammar import (
    call_rules,
    several,
    text_terminal,
    turn_grammar,
)

_OPEN, _CLOSE = "<|tool_call|>", "<|/tool_call|>"
_RESPONSE = "tool_response"


class Phi4Format(NativeFormat):
    """See the module."""

    name = "phi4"
    markup = (
        _OPEN,
        _CLOSE,
        *(f"<|{word}|>" for word in ("tool", "/tool", _RESPONSE, "system", "user", "assistant")),
        "<|end|>",
    )
    # The list alone is understood too: some vocabularies have the tags as tokens without a text.
    openings = (_OPEN, "[")

    def grammar(self, rules: TurnRules) -> str:
        """Return the grammar of one turn; quotes are left aside."""
        lines = [
            *call_rules(rules, lambda name: (f'{{"name": {json.dumps(name)}, "arguments": ', "}")),
            f'markup_open: "{_OPEN}"',
            f'markup_close: "{_CLOSE}"',
        ]
        calls = f'markup_open "[" {several(rules, "call", ", ")} "]" markup_close'
        return turn_grammar(rules, [calls], lines, text=text_terminal("<{[`", self.markup))

    def write(self, calls: Sequence[Call]) -> str:
        """Return the list of calls in its tags."""
        items = [{"name": call.tool, "arguments": call.arguments} for call in calls]
        return f"{_OPEN}{JSON.write(items)}{_CLOSE}"

    def read(self, text: str) -> tuple[Call, ...]:
        """Return the calls."""
        return read_calls(text.removeprefix(_OPEN).partition(_CLOSE)[0])

    def result(self, observation: Observation, text: str) -> Message:
        """Return a result in its own role."""
        del observation
        return {"role": _RESPONSE, "content": text}
