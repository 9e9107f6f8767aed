r"""Calls of Gemma 3, whose template has no tools, no tool role and no system role of its own.

Tools and the way of calling them are described in words, and results come back as a user turn. A
call is an object, as the makers suggest, several ones stand below one another::

    {"name": "calculator", "parameters": {"expression": "23 * 47"}}
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.native import NativeFormat
from edgeagent.agent.formats.notation import JSON
from edgeagent.agent.formats.protocol import Call, Example, Observation, Prefix, TurnRules
from edgeagent.agent.formats.reading import read_calls
from edgeagent.agent.formats.turn_grammar import (
    call_rules,
    several,
    text_terminal,
    turn_grammar,
)
from edgeagent.agent.tools.protocol import Tool, describe

_HOW = (
    'To call a function, reply with nothing but {"name": function name, "parameters": object of '
    "its arguments}. To call several, write each on a line of its own. If no function serves, "
    "reply in words."
)


class GemmaFormat(NativeFormat):
    """See the module."""

    name = "gemma"
    markup = ("<start_of_turn>", "<end_of_turn>")
    openings = ("{",)

    def prefix(
        self,
        instructions: str,
        tools: Sequence[Tool],
        examples: Sequence[Example],
        *,
        thinking: bool = False,
    ) -> Prefix:
        """Return instructions, functions and examples; the template has no place for tools."""
        lines = [instructions]
        if tools:
            functions = [describe(tool)["function"] for tool in tools]
            lines += [_HOW, "Functions:", *map(JSON.write, functions)]
        system: Message = {"role": "system", "content": "\n".join(lines)}
        return Prefix((system, *self._shown(tools, examples)), None, {"enable_thinking": thinking})

    def grammar(self, rules: TurnRules) -> str:
        """Return the grammar of one turn; quotes are left aside."""
        lines = call_rules(
            rules, lambda name: (f'{{"name": {json.dumps(name)}, "parameters": ', "}")
        )
        return turn_grammar(
            rules, [several(rules, "call", "\n")], lines, text=text_terminal("<{[`", self.markup)
        )

    def write(self, calls: Sequence[Call]) -> str:
        """Return the calls."""
        return "\n".join(
            JSON.write({"name": call.tool, "parameters": call.arguments}) for call in calls
        )

    def read(self, text: str) -> tuple[Call, ...]:
        """Return the calls."""
        return read_calls(text)

    def observations(self, found: Sequence[Observation], question: str = "") -> tuple[Message, ...]:
        """Return the results as one user turn, since turns have to alternate."""
        lines = [f"{observation.call.tool} returned: {observation.text}" for observation in found]
        lines += [question] if question else []
        return ({"role": "user", "content": "\n".join(lines)},)
