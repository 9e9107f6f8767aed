r"""A compact few-shot format for models whose chat template knows no tools.

A turn is one thought and then a call or an answer, each on a line of its own::

    Thought: I must use calculator.
    Call: calculator {"expression": "23 * 47"}

The thought is a decision and no more: a free one does not help models of this size, they contradict
it in the next line, and as the grammar forces all but its choice it costs one or two tokens.

The observation comes back as a user turn, `Result: 1081`, and the question with it. Small models do
not follow a description of a format, they continue examples: so the prefix holds examples as real
turns. They cost nothing after the first task, because the prefix stays in the KV cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.examples import example_messages
from edgeagent.agent.formats.protocol import Call, Example, Prefix, Turn
from edgeagent.agent.formats.schema import json_rule, literal
from edgeagent.agent.tools.protocol import Offer, Tool

_THOUGHT, _CALL, _ANSWER, _RESULT = "Thought: ", "Call: ", "Answer: ", "Result: "
_DIRECT = f"{_THOUGHT}I can answer directly.\n{_ANSWER}"
_REPORT = f"{_THOUGHT}I have the result.\n{_ANSWER}"


class CompactFormat:
    """See the module."""

    name = "compact"

    def prefix(
        self, instructions: str, tools: Sequence[Tool], examples: Sequence[Example]
    ) -> Prefix:
        """Return instructions and examples; tools are described in one line each."""
        lines = [instructions]
        if tools:
            lines += ["Tools:", *(f"- {tool.name}: {tool.description}" for tool in tools)]
        messages: list[Message] = [{"role": "system", "content": "\n".join(lines)}]
        for example in examples:
            opening = _REPORT if example.observations else _DIRECT
            messages += example_messages(self, example, partial(_write, opening))
        return Prefix(tuple(messages))

    def grammar(
        self,
        tools: Sequence[Tool | Offer],
        *,
        may_answer: bool,
        has_result: bool = False,
        quotes: Sequence[str] = (),
    ) -> str:
        """Return the grammar of one turn."""
        text = " | ".join(map(literal, quotes)) if quotes else "/[^\\n]+/"
        rules = [f"answer: {literal(_REPORT if has_result else _DIRECT)} text", f"text: {text}"]
        ends = ["answer"] if may_answer or not tools else []
        for index, tool in enumerate(tools):
            ends.append(f"call_{index}")
            rules.append(f"call_{index}: {literal(_calling(tool.name))} args_{index}")
            rules.append(f"args_{index}: {json_rule(tool.parameters)}")
        return "\n".join([f"start: {' | '.join(ends)}", *rules])

    def parse(self, text: str) -> Turn:
        """Take a turn apart."""
        thought_line, separator, rest = text.partition("\n")
        if not separator or not thought_line.startswith(_THOUGHT):
            raise ValueError("the turn does not begin with a thought")
        thought = thought_line.removeprefix(_THOUGHT).strip()
        if rest.startswith(_ANSWER):
            return Turn(thought, answer=rest.removeprefix(_ANSWER).strip())
        if rest.startswith(_CALL):
            tool, _, arguments = rest.removeprefix(_CALL).partition(" ")
            return Turn(thought, call=Call(tool, _arguments(arguments)))
        raise ValueError("the turn has neither a call nor an answer")

    def answer_part(self, text: str) -> str:
        """Return what stands behind the answer's keyword so far."""
        return text.partition(f"\n{_ANSWER}")[2]

    def question(self, text: str) -> Message:
        """Return the question as it is."""
        return {"role": "user", "content": text}

    def reply(self, text: str) -> Message:
        """Return the turn as it is."""
        return {"role": "assistant", "content": text}

    def observation(self, text: str, question: str = "") -> Message:
        """Return the result as a user turn: the only other role that such templates have."""
        reminder = f"\n{question}" if question else ""
        return {"role": "user", "content": f"{_RESULT}{text}{reminder}"}


def _calling(tool: str) -> str:
    return f"{_THOUGHT}I must use {tool}.\n{_CALL}{tool} "


def _write(opening: str, turn: Turn) -> str:
    if turn.call is None:
        return f"{opening}{turn.answer}"
    return f"{_calling(turn.call.tool)}{json.dumps(turn.call.arguments)}"


def _arguments(text: str) -> dict[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("the arguments are not an object")
    return value
