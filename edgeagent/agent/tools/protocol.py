"""The Tool protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from edgeagent.errors import ToolError

JsonSchema = Mapping[str, object]


class Tool(Protocol):
    """Something that a model can call.

    A tool checks its arguments itself: grammars make malformed calls impossible, not
    senseless ones.
    """

    @property
    def name(self) -> str:
        """Short identifier, as the model writes it."""
        ...

    @property
    def is_delegate(self) -> bool:
        """Whether it is another agent: its time is orchestration, its call a route."""
        ...

    @property
    def description(self) -> str:
        """One sentence for the model: what it does and when to use it."""
        ...

    @property
    def parameters(self) -> JsonSchema:
        """JSON Schema of the arguments, an object with all its properties required."""
        ...

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return what the model shall see.

        Raises:
            ToolError: Wrong arguments, or no result; the message is shown to the model.
        """
        ...


def object_schema(**properties: JsonSchema) -> JsonSchema:
    """Return the schema of an object with exactly these properties, all required."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def text_schema(description: str, max_chars: int) -> JsonSchema:
    """Return the schema of a non-empty text.

    The length bound keeps every call within an agent's token budget, so that it cannot be cut off.
    """
    return {
        "type": "string",
        "description": description,
        "minLength": 1,
        "maxLength": max_chars,
    }


def string_argument(arguments: Mapping[str, object], name: str) -> str:
    """Return a required text argument.

    Raises:
        ToolError: It is missing, empty or not a text.
    """
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ToolError(f"the argument {name!r} must be a non-empty text")
    return value.strip()


def describe(tool: Tool) -> dict[str, object]:
    """Return the tool as chat templates expect it: an OpenAI function description."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        },
    }
