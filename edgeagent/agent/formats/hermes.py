r"""The Hermes format of Qwen2.5 and Qwen3: tools in the template, calls as JSON in tags.

A call is written as the template shows it::

    <tool_call>
    {"name": "calculator", "arguments": {"expression": "23 * 47"}}
    </tool_call>

Text before the call is the thought; a turn without a call is the answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.protocol import Call, Example, Prefix, Turn
from edgeagent.agent.formats.schema import json_rule, literal
from edgeagent.agent.tools.protocol import Offer, Tool, describe

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_END = "}\n" + _CLOSE


class HermesFormat:
    """See the module."""

    name = "hermes"
    grounds = False

    def prefix(
        self, instructions: str, tools: Sequence[Tool], examples: Sequence[Example]
    ) -> Prefix:
        """Return the instructions; the template shows the tools, and needs no examples."""
        del examples
        messages: tuple[Message, ...] = ({"role": "system", "content": instructions},)
        return Prefix(messages, tuple(describe(tool) for tool in tools) or None)

    def grammar(
        self, tools: Sequence[Tool | Offer], *, may_answer: bool, quotes: Sequence[str] = ()
    ) -> str:
        """Return the grammar of one turn."""
        text = " | ".join(map(literal, quotes)) if quotes else "/[^<\\n][^<]*/"
        rules = [f"text: {text}"]
        calls: list[str] = []
        for index, tool in enumerate(tools):
            calls.append(f"call_{index}")
            opening = f'{_OPEN}\n{{"name": {json.dumps(tool.name)}, "arguments": '
            rules.append(f"call_{index}: {literal(opening)} args_{index} {literal(_END)}")
            rules.append(f"args_{index}: {json_rule(tool.parameters)}")
        if not calls:
            start = "text"
        elif may_answer:
            start = f"text | {' | '.join(calls)}"
        else:
            start = " | ".join(calls)
        return "\n".join([f"start: {start}", *rules])

    def parse(self, text: str) -> Turn:
        """Take a turn apart."""
        thought, tag, rest = text.partition(_OPEN)
        if not tag:
            return Turn(answer=text.strip())
        body, closing, _ = rest.partition(_CLOSE)
        if not closing:
            raise ValueError("the tool call is not closed")
        call = json.loads(body)
        if not isinstance(call, dict) or not isinstance(call.get("arguments"), dict):
            raise ValueError("the tool call is not an object with arguments")
        return Turn(thought.strip(), call=Call(str(call.get("name")), call["arguments"]))

    def question(self, text: str) -> Message:
        """Return the question as it is."""
        return {"role": "user", "content": text}

    def reply(self, text: str) -> Message:
        """Return the turn as it is: it already is what the template would write for the call."""
        return {"role": "assistant", "content": text}

    def observation(self, text: str, question: str = "") -> Message:
        """Return the result in the template's tool role; no reminder is needed."""
        del question
        return {"role": "tool", "content": text}
