"""Calls asked for in plain words: functions as JSON in the instructions, a free text as reply.

No model was trained on it and no grammar belongs to it. It is the reference of comparisons, what
one gets without a native format, and so the reading is as generous as it can be without guessing.
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
from edgeagent.agent.formats.schema import json_rule
from edgeagent.agent.tools.protocol import Tool

_HOW = (
    "To call functions, reply with nothing but a JSON list: "
    '[{"name": "...", "arguments": {...}}]. Otherwise reply in words.'
)


class PlainFormat:
    """See the module."""

    name = "plain"

    def prefix(
        self,
        instructions: str,
        tools: Sequence[Tool],
        examples: Sequence[Example],
        *,
        thinking: bool = False,
    ) -> Prefix:
        """Return the instructions with the functions as JSON, and the examples."""
        del thinking
        lines = [instructions]
        if tools:
            lines += [_HOW, "Functions:", *map(_described, tools)]
        messages: list[Message] = [{"role": "system", "content": "\n".join(lines)}]
        for example in examples:
            messages += self.example(example)
        return Prefix(tuple(messages))

    def example(self, example: Example) -> tuple[Message, ...]:
        """Return the example with its calls as JSON lists."""
        return example_messages(self, example, _write)

    def grammar(self, rules: TurnRules) -> str:
        """Return a grammar of a JSON list of calls, or a text that does not begin like one."""
        names = [f"call_{index}" for index, _ in enumerate(rules.tools)]
        lines = [r"text: /[^\s\[{`](?s:.*)/"]
        for index, tool in enumerate(rules.tools):
            opening = json.dumps(f'{{"name": {json.dumps(tool.name)}, "arguments": ')
            lines += [
                f'call_{index}: {opening} args_{index} "}}"',
                f"args_{index}: {json_rule(tool.parameters)}",
            ]
        ends = ["text"] if rules.may_answer or not names else []
        if names:
            lines.append(f"call: {' | '.join(names)}")
            more = f'(", " call){{0,{rules.max_calls - 1}}}' if rules.max_calls > 1 else ""
            lines.append(f'calls: "[" call {more} "]"')
            ends.append("calls")
        return "\n".join([f"start: {' | '.join(ends)}", *lines])

    def parse(self, text: str) -> Turn:
        """Take a turn apart: JSON of calls, in a code block or not, or words."""
        body = _unfenced(text.strip())
        if not body.startswith(("[", "{")):
            return Turn(answer=text.strip())
        try:
            value = json.loads(body)
        except ValueError as error:
            raise ValueError(f"the calls are not JSON ({error})") from error
        items = value if isinstance(value, list) else [value]
        return Turn(calls=tuple(map(_call, items)))

    def answer_part(self, text: str) -> str:
        """Return all of a text that is not JSON."""
        return "" if text.lstrip().startswith(("[", "{", "`")) else text

    def question(self, text: str) -> Message:
        """Return the question as it is."""
        return {"role": "user", "content": text}

    def reply(self, text: str) -> Message:
        """Return the turn as it is."""
        return {"role": "assistant", "content": text}

    def observations(self, found: Sequence[Observation], question: str = "") -> tuple[Message, ...]:
        """Return the results as a user turn."""
        lines = [f"{observation.call.tool}: {observation.text}" for observation in found]
        lines += [question] if question else []
        return ({"role": "user", "content": "\n".join(lines)},)


PLAIN = PlainFormat()


def _described(tool: Tool) -> str:
    return json.dumps(
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        },
        ensure_ascii=False,
    )


def _unfenced(text: str) -> str:
    """Return what stands in a code block, or the text."""
    if not text.startswith("```"):
        return text
    _, _, rest = text.partition("\n")
    body, _, _ = rest.partition("```")
    return body.strip()


def _call(item: object) -> Call:
    if not isinstance(item, dict) or not isinstance(item.get("arguments"), dict):
        raise ValueError("a call is not an object with arguments")
    return Call(str(item.get("name")), item["arguments"])


def _write(turn: Turn) -> str:
    if not turn.calls:
        return turn.answer
    return json.dumps([{"name": call.tool, "arguments": call.arguments} for call in turn.calls])
