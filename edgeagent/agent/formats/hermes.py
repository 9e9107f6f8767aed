r"""The Hermes format of Qwen2.5 and Qwen3: tools in the template, calls as JSON in tags.

A call is written as the template shows it::

    <tool_call>
    {"name": "calculator", "arguments": {"expression": "23 * 47"}}
    </tool_call>

Some models of the family never learned the tags, which are tokens of their own, and write the
object alone; both are understood. Text before the call is the thought; a turn without a call is
the answer, in the model's own words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.examples import example_messages
from edgeagent.agent.formats.protocol import Call, Example, Prefix, Turn
from edgeagent.agent.formats.schema import json_rule, literal
from edgeagent.agent.tools.protocol import Offer, Tool, describe

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_TEXT = r"/[^\s<>{\[`](?s:.*)/ & ~/(?s:.*)<\/?tool_call(?s:.*)/"
"""An answer begins like a sentence, not like code or a call without its tags, and has no tags."""


class HermesFormat:
    """See the module."""

    name = "hermes"

    def prefix(
        self, instructions: str, tools: Sequence[Tool], examples: Sequence[Example]
    ) -> Prefix:
        """Return the instructions and the examples; the template shows the tools."""
        messages: list[Message] = [{"role": "system", "content": instructions}]
        for example in examples:
            # A model that knows the format needs no example of not using a tool.
            if example.observations or not tools:
                messages += example_messages(self, example, _write)
        return Prefix(tuple(messages), tuple(describe(tool) for tool in tools) or None)

    def grammar(
        self,
        tools: Sequence[Tool | Offer],
        *,
        may_answer: bool,
        has_result: bool = False,
        quotes: Sequence[str] = (),
    ) -> str:
        """Return the grammar of one turn."""
        del has_result, quotes  # these models answer in their own words
        rules = [f"TEXT: {_TEXT}"]
        calls: list[str] = []
        for index, tool in enumerate(tools):
            calls += [f"tagged_{index}", f"call_{index}"]
            opening = f'{{"name": {json.dumps(tool.name)}, "arguments": '
            rules.append(
                f'tagged_{index}: {literal(_OPEN)} "\\n" call_{index} "\\n" {literal(_CLOSE)}'
            )
            rules.append(f'call_{index}: {literal(opening)} args_{index} "}}"')
            rules.append(f"args_{index}: {json_rule(tool.parameters)}")
        if not calls:
            start = "TEXT"
        elif may_answer:
            start = f"TEXT | {' | '.join(calls)}"
        else:
            start = " | ".join(calls)
        return "\n".join([f"start: {start}", *rules])

    def parse(self, text: str) -> Turn:
        """Take a turn apart."""
        thought, tag, rest = text.partition(_OPEN)
        body, closing, _ = rest.partition(_CLOSE)
        if not tag:
            if not text.lstrip().startswith("{"):
                return Turn(answer=text.strip())
            thought, body = "", text
        elif not closing:
            raise ValueError("the tool call is not closed")
        call = json.loads(body)
        if not isinstance(call, dict) or not isinstance(call.get("arguments"), dict):
            raise ValueError("the tool call is not an object with arguments")
        return Turn(thought.strip(), call=Call(str(call.get("name")), call["arguments"]))

    def answer_part(self, text: str) -> str:
        """Return all of a text that is not a call: the grammar has either."""
        return "" if text.startswith((_OPEN[0], "{")) else text

    def question(self, text: str) -> Message:
        """Return the question as it is."""
        return {"role": "user", "content": text}

    def reply(self, text: str) -> Message:
        """Return the turn as it is: it already is what the template would write for the call."""
        return {"role": "assistant", "content": text}

    def observation(self, text: str, question: str = "") -> Message:
        """Return the result in the template's tool role, and the question as a reminder."""
        reminder = f"\n{question}" if question else ""
        return {"role": "tool", "content": f"{text}{reminder}"}


def _write(turn: Turn) -> str:
    if turn.call is None:
        return turn.answer
    call = json.dumps({"name": turn.call.tool, "arguments": turn.call.arguments})
    return f"{_OPEN}\n{call}\n{_CLOSE}"
