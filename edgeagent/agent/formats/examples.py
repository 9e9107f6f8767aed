"""Worked examples as real turns of a conversation: what every format does alike."""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.protocol import Example, Observation, ToolFormat, Turn


def example_messages(
    text_format: ToolFormat, example: Example, write: Callable[[Turn], str]
) -> tuple[Message, ...]:
    """Return question, turns and observations of an example.

    Args:
        text_format: Says which role a message has.
        example: The example.
        write: Writes one turn as the model shall write it.
    """
    messages = [text_format.question(example.question)]
    for turn, observation in zip(example.turns, (*example.observations, None), strict=True):
        messages.append(text_format.reply(write(turn)))
        if observation is not None:
            found = (Observation(turn.calls[0], observation),)
            messages += text_format.observations(found, example.question)
    return tuple(messages)
