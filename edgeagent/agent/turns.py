"""Turns of dialogues: what an agent asks its model for, and how it gets the text.

A dialogue is a generator: it yields a request, is sent the generated text, and returns the answer.
So an agent does not know who runs its turns: its own conversation, or a group in which several
dialogues decode together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

from edgeagent.agent.chat.template import Message
from edgeagent.engine.protocol import DecodeParams


def whole_text(text: str) -> str:
    """Return all of a turn as answer."""
    return text


def nothing_yet(text: str) -> str:
    """Return nothing: whether a turn is an answer shows when it is whole."""
    del text
    return ""


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One turn to be generated.

    Attributes:
        messages: The whole conversation so far.
        tools: OpenAI function descriptions for the template.
        params: How to generate.
        variables: Further variables of the template.
        answer_part: Returns what of an unfinished turn is answer already, for streaming.
        held_chars: Characters of an answer that are not streamed before there are more of them.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, object]] | None = None
    params: DecodeParams = field(default_factory=DecodeParams)
    variables: Mapping[str, object] = field(default_factory=dict)
    answer_part: Callable[[str], str] = whole_text
    held_chars: int = 0


Dialogue = Generator[TurnRequest, str, str]
"""Yields requests, is sent their texts, returns the answer. What stops a turn (`AgentStop`) is
thrown into it, so that it can shorten its conversation and ask again."""
