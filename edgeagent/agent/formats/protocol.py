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
    """A model's turn, taken apart: an optional thought, then either a call or an answer."""

    thought: str = ""
    call: Call | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example for models that learn a format from the prompt.

    Attributes:
        question: What the user asks.
        turns: The model's turns; each but the last is a call, followed by its observation.
        observations: One for each call.
    """

    question: str
    turns: tuple[Turn, ...]
    observations: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Prefix:
    """What every conversation of a role begins with, and what its template is told of the tools."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, object], ...] | None = None


class ToolFormat(Protocol):
    """One way of writing tool calls; conversions only, no state."""

    @property
    def name(self) -> str:
        """As recipes name it."""
        ...

    def prefix(
        self, instructions: str, tools: Sequence[Tool], examples: Sequence[Example]
    ) -> Prefix:
        """Return the opening messages of a role."""
        ...

    def grammar(
        self,
        tools: Sequence[Tool | Offer],
        *,
        may_answer: bool,
        has_result: bool = False,
        quotes: Sequence[str] = (),
    ) -> str:
        """Return the Lark grammar of one turn; without tools it is an answer.

        Args:
            tools: Those that may be called.
            may_answer: Whether the turn may be an answer.
            has_result: Whether a tool gave a result in this conversation.
            quotes: Sentences of the last result. A format for models that garble what they read
                lets the answer be one of them; others leave it in the model's own words.
        """
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

    def observation(self, text: str, question: str = "") -> Message:
        """Return what a tool answered as a message; it may remind of the question."""
        ...
