r"""A compact few-shot format for models whose chat template knows no tools.

A turn is one thought and then a call or an answer, each on a line of its own::

    Thought: I need to multiply.
    Call: calculator {"expression": "23 * 47"}

The observation comes back as a user turn, `Result: 1081`. Small models do not follow a description
of a format, they continue examples: so the prefix holds examples as real turns. They cost nothing
after the first task, because the prefix stays in the KV cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.protocol import Call, Example, Prefix, Turn
from edgeagent.agent.formats.schema import json_rule, literal
from edgeagent.agent.tools.protocol import Tool

_THOUGHT, _CALL, _ANSWER, _RESULT = "Thought: ", "Call: ", "Answer: ", "Result: "
_MAX_THOUGHT_CHARS = 120


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
            messages.append(self.question(example.question))
            for turn, observation in zip(example.turns, (*example.observations, None), strict=True):
                messages.append(self.reply(_write(turn)))
                if observation is not None:
                    messages.append(self.observation(observation))
        return Prefix(tuple(messages))

    def grammar(self, tools: Sequence[Tool], *, may_answer: bool) -> str:
        """Return the grammar of one turn."""
        rules = [
            f'thought: "{_THOUGHT}" /[^\\n]{{1,{_MAX_THOUGHT_CHARS}}}/ "\\n"',
            f'answer: "{_ANSWER}" /[^\\n][\\s\\S]*/',
        ]
        ends = ["answer"] if may_answer or not tools else []
        for index, tool in enumerate(tools):
            ends.append(f"call_{index}")
            rules.append(f"call_{index}: {literal(f'{_CALL}{tool.name} ')} args_{index}")
            rules.append(f"args_{index}: {json_rule(tool.parameters)}")
        return "\n".join([f"start: thought ({' | '.join(ends)})", *rules])

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

    def question(self, text: str) -> Message:
        """Return the question as it is."""
        return {"role": "user", "content": text}

    def reply(self, text: str) -> Message:
        """Return the turn as it is."""
        return {"role": "assistant", "content": text}

    def observation(self, text: str) -> Message:
        """Return the result as a user turn: the only other role that such templates have."""
        return {"role": "user", "content": f"{_RESULT}{text}"}


def _write(turn: Turn) -> str:
    thought = f"{_THOUGHT}{turn.thought}\n"
    if turn.call is None:
        return f"{thought}{_ANSWER}{turn.answer}"
    return f"{thought}{_CALL}{turn.call.tool} {json.dumps(turn.call.arguments)}"


def _arguments(text: str) -> dict[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("the arguments are not an object")
    return value
