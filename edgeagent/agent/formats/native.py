"""What formats that models were trained with have in common: one base, a few hooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
from edgeagent.agent.formats.turn_grammar import behind_thinking, split_thinking
from edgeagent.agent.tools.protocol import Tool, describe


class NativeFormat(ABC):
    """A format whose calls begin with an opening that no answer begins with."""

    name: str
    markup: tuple[str, ...] = ()
    """What separates calls and results from words; no text from outside may contain it."""
    openings: tuple[str, ...]
    """What calls begin with."""

    def prefix(
        self,
        instructions: str,
        tools: Sequence[Tool],
        examples: Sequence[Example],
        *,
        thinking: bool = False,
    ) -> Prefix:
        """Return the instructions and the examples; the template shows the tools."""
        return Prefix(
            ({"role": "system", "content": instructions}, *self._shown(tools, examples)),
            tuple(describe(tool) for tool in tools) or None,
            {"enable_thinking": thinking},
        )

    def _shown(self, tools: Sequence[Tool], examples: Sequence[Example]) -> list[Message]:
        """Return the examples as messages.

        A model that knows the format needs no example of not using a tool.
        """
        shown = [example for example in examples if example.observations or not tools]
        return [message for example in shown for message in self.example(example)]

    def example(self, example: Example) -> tuple[Message, ...]:
        """Return the example as the model would write it."""
        return example_messages(self, example, self._written)

    def _written(self, turn: Turn) -> str:
        if not turn.calls:
            return turn.answer
        text = self.write(turn.calls)
        return f"{turn.thought}\n{text}" if turn.thought else text

    @abstractmethod
    def write(self, calls: Sequence[Call]) -> str:
        """Return calls as the grammar has them."""

    @abstractmethod
    def grammar(self, rules: TurnRules) -> str:
        """Return the Lark grammar of one turn."""

    @abstractmethod
    def read(self, text: str) -> tuple[Call, ...]:
        """Return the calls of a text that begins with an opening.

        Raises:
            ValueError: It has none.
        """

    def parse(self, text: str) -> Turn:
        """Take a turn apart."""
        thought, rest = split_thinking(text)
        start = self._calls_begin(rest)
        if start is None:
            return Turn(thought, answer=rest.strip())
        thought = "\n".join(filter(None, (thought, rest[:start].strip())))
        return Turn(thought, calls=self.read(rest[start:]))

    def _calls_begin(self, text: str) -> int | None:
        """Return where calls begin, `None` if there are none."""
        stripped = text.lstrip()
        return len(text) - len(stripped) if stripped.startswith(self.openings) else None

    def answer_part(self, text: str) -> str:
        """Return all of a turn that is neither a thinking section nor calls.

        While it is too short to tell, as `<tool` might still become a tag, it is held back.
        """
        rest = behind_thinking(text)
        start = rest.lstrip()
        if any(start.startswith(one) or one.startswith(start) for one in self.openings):
            return ""
        return rest

    def question(self, text: str) -> Message:
        """Return the question as it is."""
        return {"role": "user", "content": text}

    def reply(self, text: str) -> Message:
        """Return the turn as it is: it already is what the template would write for the calls."""
        return {"role": "assistant", "content": text}

    def observations(self, found: Sequence[Observation], question: str = "") -> tuple[Message, ...]:
        """Return the results in the template's tool role, the last with a reminder."""
        texts = [observation.text for observation in found]
        if question:
            texts[-1] = f"{texts[-1]}\n{question}"
        return tuple(self.result(one, text) for one, text in zip(found, texts, strict=True))

    def result(self, observation: Observation, text: str) -> Message:
        """Return the message of one result, with the text that the model shall see."""
        del observation
        return {"role": "tool", "content": text}
