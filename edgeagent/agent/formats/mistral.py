r"""The format of Mistral's instruction models: a JSON list of calls behind a token of its own.

    [TOOL_CALLS] [{"name": "calculator", "arguments": {"expression": "23 * 47"}}]

Its template insists on calls as objects with ids, and on results that name them.
"""

from __future__ import annotations

import hashlib
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

_OPEN = "[TOOL_CALLS]"
_ID_CHARS = 9


class MistralFormat(NativeFormat):
    """See the module."""

    name = "mistral"
    markup = (
        _OPEN,
        *(f"[{word}]" for word in ("INST", "/INST", "TOOL_RESULTS", "/TOOL_RESULTS")),
        *(f"[{word}]" for word in ("AVAILABLE_TOOLS", "/AVAILABLE_TOOLS")),
        *(f"[{word}]" for word in ("SYSTEM_PROMPT", "/SYSTEM_PROMPT")),
        "<s>",
        "</s>",
    )
    # The list alone is understood too: the token has no text where it counts as a control token.
    openings = (_OPEN, "[")

    def grammar(self, rules: TurnRules) -> str:
        """Return the grammar of one turn; quotes are left aside."""
        lines = [
            *call_rules(rules, lambda name: (f'{{"name": {json.dumps(name)}, "arguments": ', "}")),
            f'markup_open: "{_OPEN}"',
        ]
        calls = f'markup_open " [" {several(rules, "call", ", ")} "]"'
        text = text_terminal("<{[`", self.markup, space=True)
        return turn_grammar(rules, [calls], lines, text=text)

    def write(self, calls: Sequence[Call]) -> str:
        """Return the list of calls behind its token."""
        items = [{"name": call.tool, "arguments": call.arguments} for call in calls]
        return f"{_OPEN} {JSON.write(items)}"

    def read(self, text: str) -> tuple[Call, ...]:
        """Return the calls."""
        return read_calls(text.removeprefix(_OPEN))

    def reply(self, text: str) -> Message:
        """Return the turn, its calls as the objects that the template asks for."""
        try:
            calls = self.parse(text).calls
        except ValueError:
            calls = ()
        if not calls:
            return {"role": "assistant", "content": text}
        return {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": _id(call),
                    "type": "function",
                    "function": {"name": call.tool, "arguments": call.arguments},
                }
                for call in calls
            ],
        }

    def result(self, observation: Observation, text: str) -> Message:
        """Return a result that names its call; the template puts it into JSON as it is."""
        return {
            "role": "tool",
            "name": observation.call.tool,
            "content": json.dumps(text, ensure_ascii=False),
            "tool_call_id": _id(observation.call),
        }


def _id(call: Call) -> str:
    return hashlib.sha256(call.key().encode()).hexdigest()[:_ID_CHARS]
