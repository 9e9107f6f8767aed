"""A loaded model as agents use it: its engine, how it writes calls, how text is made harmless."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeagent.agent.chat.template import ChatTemplate
from edgeagent.agent.chat.untrusted import neutralizer
from edgeagent.agent.formats import tool_format
from edgeagent.agent.formats.protocol import ToolFormat
from edgeagent.engine.protocol import Engine


@dataclass(frozen=True, slots=True)
class Model:
    """One loaded model.

    Attributes:
        engine: The engine.
        format: How it is shown tools and writes calls.
        template: Its chat template.
        neutralize: Breaks control tokens and markup of the format that are written out in a text.
        grounded: Whether its agents are limited to what the conversation states, see
            `Budget.grounding`.
    """

    engine: Engine
    format: ToolFormat
    template: ChatTemplate
    neutralize: Callable[[str], str]
    grounded: bool


OpenModel = Callable[[str], Model]
"""Loads a further model by the name that a role gives, such as a recipe's id or a folder."""


def model_of(engine: Engine, tool_call_format: str, *, grounded: bool) -> Model:
    """Return what agents need of a loaded engine.

    Raises:
        EngineError: The model's chat template is not valid.
        ConfigError: There is no format of this name.
    """
    text_format = tool_format(tool_call_format)
    return Model(
        engine=engine,
        format=text_format,
        template=ChatTemplate(engine.chat_template, engine.chat_tokens),
        neutralize=neutralizer(engine.control_tokens, text_format.markup),
        grounded=grounded,
    )
