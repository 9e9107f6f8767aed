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
from edgeagent.agent.formats.protocol import (
    Call,
    Example,
    Observation,
    Prefix,
    Turn,
    TurnRules,
)
from edgeagent.agent.formats.schema import json_rule, literal
from edgeagent.agent.tools.protocol import Tool, describe

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_TEXT = r"/[^\s<>{\[`](?s:.*)/ & ~/(?s:.*)<\/?tool_call(?s:.*)/"
"""An answer begins like a sentence, not like code or a call without its tags, and has no tags."""


class HermesFormat:
    """See the module."""

    name = "hermes"

    def prefix(
        self,
        instructions: str,
        tools: Sequence[Tool],
        examples: Sequence[Example],
        *,
        thinking: bool = False,
    ) -> Prefix:
        """Return the instructions and the examples; the template shows the tools."""
        messages: list[Message] = [{"role": "system", "content": instructions}]
        for example in examples:
            # A model that knows the format needs no example of not using a tool.
            if example.observations or not tools:
                messages += self.example(example)
        return Prefix(
            tuple(messages),
            tuple(describe(tool) for tool in tools) or None,
            {"enable_thinking": thinking},
        )

    def example(self, example: Example) -> tuple[Message, ...]:
        """Return the example with its calls in tags."""
        return example_messages(self, example, _write)

    def grammar(self, rules: TurnRules) -> str:
        """Return the grammar of one turn."""
        # Quotes are left aside: these models answer in their own words.
        lines = [f"TEXT: {_TEXT}"]
        calls: list[str] = []
        for index, tool in enumerate(rules.tools):
            calls += [f"tagged_{index}", f"call_{index}"]
            opening = f'{{"name": {json.dumps(tool.name)}, "arguments": '
            lines.append(
                f'tagged_{index}: {literal(_OPEN)} "\\n" call_{index} "\\n" {literal(_CLOSE)}'
            )
            lines.append(f'call_{index}: {literal(opening)} args_{index} "}}"')
            lines.append(f"args_{index}: {json_rule(tool.parameters)}")
        if not calls:
            start = "TEXT"
        elif rules.may_answer:
            start = f"TEXT | {' | '.join(calls)}"
        else:
            start = " | ".join(calls)
        return "\n".join([f"start: {start}", *lines])

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
        return Turn(thought.strip(), calls=(Call(str(call.get("name")), call["arguments"]),))

    def answer_part(self, text: str) -> str:
        """Return all of a text that is not a call: the grammar has either."""
        return "" if text.startswith((_OPEN[0], "{")) else text

    def question(self, text: str) -> Message:
        """Return the question as it is."""
        return {"role": "user", "content": text}

    def reply(self, text: str) -> Message:
        """Return the turn as it is: it already is what the template would write for the call."""
        return {"role": "assistant", "content": text}

    def observations(self, found: Sequence[Observation], question: str = "") -> tuple[Message, ...]:
        """Return the results in the template's tool role, the last with a reminder."""
        texts = [observation.text for observation in found]
        if question:
            texts[-1] = f"{texts[-1]}\n{question}"
        return tuple({"role": "tool", "content": text} for text in texts)


def _write(turn: Turn) -> str:
    if not turn.calls:
        return turn.answer
    return "\n".join(
        f"{_OPEN}\n{json.dumps({'name': call.tool, 'arguments': call.arguments})}\n{_CLOSE}"
        for call in turn.calls
    )
