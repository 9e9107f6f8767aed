"""Calls asked for in plain words: functions as JSON in the instructions, a free text as reply.

No model was trained on it and no grammar belongs to it. It is the reference of comparisons, what
one gets without a native format, and so the reading is as generous as it can be without guessing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.examples import example_messages
from edgeagent.agent.formats.notation import JSON
from edgeagent.agent.formats.protocol import (
    Example,
    Observation,
    Prefix,
    Turn,
    TurnRules,
)
from edgeagent.agent.formats.reading import read_calls
from edgeagent.agent.formats.turn_grammar import (
    call_rules,
    several,
    text_terminal,
    turn_grammar,
)
from edgeagent.agent.tools.protocol import Tool

_HOW = (
    "To call functions, reply with nothing but a JSON list: "
    '[{"name": "...", "arguments": {...}}]. Otherwise reply in words.'
)


class PlainFormat:
    """See the module."""

    name = "plain"
    markup: tuple[str, ...] = ()

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
        return Prefix(tuple(messages), variables={"enable_thinking": False})

    def example(self, example: Example) -> tuple[Message, ...]:
        """Return the example with its calls as JSON lists."""
        return example_messages(self, example, _write)

    def grammar(self, rules: TurnRules) -> str:
        """Return a grammar of a JSON list of calls, or a text that does not begin like one."""
        lines = call_rules(
            rules, lambda name: (f'{{"name": {json.dumps(name)}, "arguments": ', "}")
        )
        calls = f'"[" {several(rules, "call", ", ")} "]"'
        return turn_grammar(rules, [calls], lines, text=text_terminal("[{`"))

    def parse(self, text: str) -> Turn:
        """Take a turn apart: calls as JSON, in a code block or not, words around them, or words.

        JSON that describes no call belongs to an answer, unless the whole turn is JSON.
        """
        body = text.strip()
        for found in _candidates(body):
            try:
                return Turn(body[: body.find(found)].strip(" \n`"), calls=read_calls(found))
            except ValueError as error:
                if found == body or body.startswith("```"):
                    raise ValueError(f"the calls cannot be read: {error}") from error
        return Turn(answer=body)

    def answer_part(self, text: str) -> str:
        """Return all of a text that is not JSON."""
        return "" if text.lstrip().startswith(("[", "{", "`", "<")) else text

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


_FENCED = re.compile(r"```\w*\s*(.*?)(?:```|\Z)", re.DOTALL)
_TAGGED = re.compile(r"<tool_call>\s*(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_BARE = re.compile(r"\[\s*\{|\{\s*\"", re.DOTALL)


def _candidates(body: str) -> list[str]:
    """Return the parts of a turn that may be calls, the likeliest first."""
    if body.startswith(("[", "{")):
        return [body]
    found = [match.group(1).strip() for match in _FENCED.finditer(body)]
    found += ["\n".join(match.group(1) for match in _TAGGED.finditer(body))]
    found += [body[match.start() :] for match in _BARE.finditer(body)][:4]
    return [text for text in found if text.startswith(("[", "{"))]


def _write(turn: Turn) -> str:
    if not turn.calls:
        return turn.answer
    return JSON.write([{"name": call.tool, "arguments": call.arguments} for call in turn.calls])
