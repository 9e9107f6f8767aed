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
from collections.abc import Mapping, Sequence
from functools import partial

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.examples import example_messages
from edgeagent.agent.formats.notation import JSON
from edgeagent.agent.formats.protocol import (
    Call,
    Example,
    Observation,
    Prefix,
    Turn,
    TurnRules,
)
from edgeagent.agent.formats.schema import literal, value_rules
from edgeagent.agent.tools.protocol import Tool

_THOUGHT, _CALL, _ANSWER, _RESULT = "Thought: ", "Call: ", "Answer: ", "Result: "
_DIRECT = f"{_THOUGHT}I can answer directly.\n{_ANSWER}"
_REPORT = f"{_THOUGHT}I have the result.\n{_ANSWER}"


class CompactFormat:
    """See the module."""

    name = "compact"
    markup = tuple(f"\n{keyword}" for keyword in (_THOUGHT, _CALL, _ANSWER, _RESULT))

    def prefix(
        self,
        instructions: str,
        tools: Sequence[Tool],
        examples: Sequence[Example],
        *,
        thinking: bool = False,
    ) -> Prefix:
        """Return instructions and examples; tools are described in one line each.

        Examples show the arguments too; without any, the line names them.
        """
        lines = [instructions]
        if tools:
            lines += ["Tools:", *(_described(tool, signed=not examples) for tool in tools)]
        messages: list[Message] = [{"role": "system", "content": "\n".join(lines)}]
        del thinking  # its one thought is forced
        for example in examples:
            messages += self.example(example)
        return Prefix(tuple(messages), variables={"enable_thinking": False})

    def example(self, example: Example) -> tuple[Message, ...]:
        """Return the example with its thoughts."""
        opening = _REPORT if example.observations else _DIRECT
        return example_messages(self, example, partial(_write, opening))

    def grammar(self, rules: TurnRules) -> str:
        """Return the grammar of one turn; it has one call at most."""
        text = " | ".join(map(literal, rules.quotes)) if rules.quotes else "/[^\\n]+/"
        opening = literal(_REPORT if rules.has_result else _DIRECT)
        lines = [f"answer: {opening} text", f"text: {text}"]
        ends = ["answer"] if rules.may_answer or not rules.tools else []
        for index, tool in enumerate(rules.tools):
            ends.append(f"call_{index}")
            lines.append(f"call_{index}: {literal(_calling(tool.name))} args_{index}")
            lines += value_rules(f"args_{index}", tool.parameters)
        return "\n".join([f"start: {' | '.join(ends)}", *lines])

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
            return Turn(thought, calls=(Call(tool, _arguments(arguments)),))
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

    def observations(self, found: Sequence[Observation], question: str = "") -> tuple[Message, ...]:
        """Return the results as a user turn: the only other role that such templates have."""
        lines = [f"{_RESULT}{observation.text}" for observation in found]
        lines += [question] if question else []
        return ({"role": "user", "content": "\n".join(lines)},)


def _described(tool: Tool, *, signed: bool) -> str:
    fields = tool.parameters.get("properties")
    names = ", ".join(map(str, fields)) if signed and isinstance(fields, Mapping) else ""
    return f"- {tool.name}{f'({names})' if names else ''}: {tool.description}"


def _calling(tool: str) -> str:
    return f"{_THOUGHT}I must use {tool}.\n{_CALL}{tool} "


def _write(opening: str, turn: Turn) -> str:
    if not turn.calls:
        return f"{opening}{turn.answer}"
    call = turn.calls[0]
    return f"{_calling(call.tool)}{JSON.write(call.arguments)}"


def _arguments(text: str) -> dict[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("the arguments are not an object")
    return value
