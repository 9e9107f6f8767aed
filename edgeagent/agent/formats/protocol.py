"""The ToolFormat protocol: how tools are shown to a model, and how its turns are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgeagent.agent.chat.template import Message
from edgeagent.agent.tools.protocol import Offer, Tool


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the model made it."""

    tool: str
    arguments: dict[str, object]

    def key(self) -> str:
        """Return the same text for the same call, to notice repetition."""
        return f"{self.tool} {json.dumps(self.arguments, sort_keys=True)}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A model's turn, taken apart: an optional thought, then calls or an answer.

    Attributes:
        thought: Free text before calls, or a thinking section.
        calls: What it wants to be called, in order; empty for an answer.
        answer: The answer, empty beside calls.
    """

    thought: str = ""
    calls: tuple[Call, ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one call brought.

    Attributes:
        call: The call.
        text: What the model shall see.
    """

    call: Call
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example for models that learn a format from the prompt.

    Attributes:
        question: What the user asks.
        turns: The model's turns; each but the last has one call, followed by its observation.
        observations: One for each call.
    """

    question: str
    turns: tuple[Turn, ...]
    observations: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Prefix:
    """What every conversation of a role begins with, and what its template is told.

    Attributes:
        messages: Instructions and worked examples.
        tools: OpenAI function descriptions, for templates that know tools.
        variables: Further variables of the template, such as `enable_thinking`.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, object], ...] | None = None
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnRules:
    """What the next turn may be.

    Attributes:
        tools: Those that may be called.
        may_answer: Whether the turn may be an answer; without tools it always is.
        max_calls: Most calls in one turn.
        has_result: Whether a tool gave a result in this conversation.
        quotes: Sentences of the last result. A format for models that garble what they read lets
            the answer be one of them; others leave it in the model's own words.
        max_thinking_tokens: Longest thinking section, 0 for none.
        lead_chars: Most characters of words before calls in the same turn, 0 for none. Such words
            cannot be told from an answer before the call comes, so whoever streams the answer
            holds as many characters back.
    """

    tools: tuple[Tool | Offer, ...] = ()
    may_answer: bool = True
    max_calls: int = 1
    has_result: bool = False
    quotes: tuple[str, ...] = ()
    max_thinking_tokens: int = 0
    lead_chars: int = 0


class ToolFormat(Protocol):
    """One way of writing tool calls; conversions only, no state."""

    @property
    def name(self) -> str:
        """As recipes name it."""
        ...

    @property
    def markup(self) -> tuple[str, ...]:
        """Texts that mean something in this format; text from outside must not contain them."""
        ...

    def prefix(
        self,
        instructions: str,
        tools: Sequence[Tool],
        examples: Sequence[Example],
        *,
        thinking: bool = False,
    ) -> Prefix:
        """Return the opening of a role's conversations; `thinking`: whether the model may think."""
        ...

    def example(self, example: Example) -> tuple[Message, ...]:
        """Return a worked example as turns of a conversation, empty if it would not help."""
        ...

    def grammar(self, rules: TurnRules) -> str:
        """Return the Lark grammar of one turn."""
        ...

    def parse(self, text: str) -> Turn:
        """Take a turn apart.

        Raises:
            ValueError: The text is not a turn of this format, as when it was cut off.
        """
        ...

    def answer_part(self, text: str) -> str:
        """Return what of an unfinished turn is answer already, for streaming; empty in a call."""
        ...

    def question(self, text: str) -> Message:
        """Return the user's question as a message."""
        ...

    def reply(self, text: str) -> Message:
        """Return the model's own turn as a message, exactly as it was generated."""
        ...

    def observations(self, found: Sequence[Observation], question: str = "") -> tuple[Message, ...]:
        """Return what the calls of a turn brought; the last may remind of the question."""
        ...
