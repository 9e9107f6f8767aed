"""The Tool protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from edgeagent.errors import ToolError

JsonSchema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool found, and where.

    Attributes:
        text: What the model shall see.
        sources: Documents that it comes from, as a user would name them, best first.
    """

    text: str
    sources: tuple[str, ...] = ()


class Tool(Protocol):
    """Something that a model can call.

    A tool checks its arguments itself: grammars make malformed calls impossible, not
    senseless ones. It may also have `offer` (see `Grounded`), `examples` (worked examples of its
    use, for models that learn calls from the prompt) and `close` (called when no more is asked).
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
        """JSON Schema of the arguments, an object; what is not in `required` may be left out."""
        ...

    def run(self, arguments: Mapping[str, object]) -> str | ToolResult:
        """Return what the model shall see; calls of one turn may run in several threads.

        Raises:
            ToolError: Wrong arguments, or no result; the message is shown to the model.
        """
        ...


def result_text(result: str | ToolResult) -> str:
    """Return the bare text of what a tool returned."""
    return result.text if isinstance(result, ToolResult) else result


@runtime_checkable
class Grounded(Protocol):
    """A tool that knows what it can do for a conversation.

    Very small models cannot tell what a tool is good for, and they invent arguments. A tool that
    looks at what was said offers itself only where it has something to work on, and limits its
    arguments to what the conversation states.
    """

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Return the schema of sensible arguments; `None`: nothing here for this tool.

        Args:
            question: What was asked.
            results: What tools answered so far.
        """
        ...


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as it is offered for one turn.

    Attributes:
        name: The tool's name.
        parameters: JSON Schema of the arguments that may be written now.
    """

    name: str
    parameters: JsonSchema


def offers(
    tools: Sequence[Tool], question: str, results: Sequence[str], *, narrow: bool
) -> tuple[Offer, ...]:
    """Return what may be called, in the same order.

    Args:
        tools: All tools of an agent.
        question: What was asked.
        results: What tools answered so far.
        narrow: Whether to leave out tools that have nothing to work on, and to limit arguments
            to what the conversation states.
    """
    found: list[Offer] = []
    for tool in tools:
        parameters: JsonSchema | None = tool.parameters
        if narrow and isinstance(tool, Grounded):
            try:
                parameters = tool.offer(question, results)
            except Exception:  # a defect of somebody's tool: it is offered as it is
                parameters = tool.parameters
        if parameters is not None:
            found.append(Offer(tool.name, parameters))
    return tuple(found)


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


def pattern_schema(description: str, pattern: str) -> JsonSchema:
    """Return the schema of a text that matches a regular expression as a whole."""
    return {"type": "string", "description": description, "pattern": f"^({pattern})$"}


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
