"""Task suites: tasks with deterministic checkers, and the documents they are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, JsonValue, model_validator

from edgeagent.config.checks import Check, MatchCheck, NumberCheck, check_of
from edgeagent.config.spec import Spec

__all__ = [
    "Category",
    "Check",
    "EarlierMessage",
    "FunctionSpec",
    "MatchCheck",
    "NumberCheck",
    "SuiteSpec",
    "TaskSpec",
]

MAX_QUESTION_CHARS = 20_000
MAX_CONTEXT_CHARS = 200_000

_NO_ARGUMENTS: Mapping[str, JsonValue] = {"type": "object", "properties": {}}


class Category(StrEnum):
    """The categories of the shipped suites; others may be named as their suite likes."""

    ARITHMETIC = "arithmetic"
    """A word problem whose numbers need computing."""
    LOOKUP = "lookup"
    """A fact of the shipped fictional documents, which no model can know."""
    LOOKUP_COMPUTE = "lookup_compute"
    """A fact of the documents that must then be computed with."""
    LANGUAGE = "language"
    """Plain language, no tool needed."""
    NO_TOOL = "no_tool"
    """A tool is at hand, and using one would be wrong."""


class FunctionSpec(Spec):
    """A function that a task brings along: models call it, and nothing runs it.

    The wrapping of OpenAI's interface (`{"type": "function", "function": {...}}`) is understood.
    """

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")
    description: str = Field(default="", max_length=8000)
    parameters: dict[str, JsonValue] = Field(default_factory=lambda: dict(_NO_ARGUMENTS))
    """JSON Schema of the arguments, an object."""

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, data: Any) -> Any:
        wrapped = isinstance(data, Mapping) and data.get("type") == "function"
        return data["function"] if wrapped and "function" in data else data

    @model_validator(mode="after")
    def _arguments_are_an_object(self) -> FunctionSpec:
        properties = self.parameters.get("properties", {})
        required = self.parameters.get("required", [])
        if self.parameters.get("type") != "object":
            raise ValueError("parameters: the type has to be object")
        if not isinstance(properties, dict) or not all(
            isinstance(schema, dict) for schema in properties.values()
        ):
            raise ValueError("parameters: properties has to map names to schemas")
        if not isinstance(required, list) or not all(name in properties for name in required):
            raise ValueError("parameters: required names no property")
        return self


class EarlierMessage(Spec):
    """What was said before the question."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=MAX_CONTEXT_CHARS)


class TaskSpec(Spec):
    """One task of a suite."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)
    category: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    question: str = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    check: Check
    context: str = Field(default="", max_length=MAX_CONTEXT_CHARS)
    """A passage or table that the question is about, shown before it."""
    messages: tuple[EarlierMessage, ...] = Field(default=(), max_length=100)
    """What was said before, shown before the question."""
    functions: tuple[FunctionSpec, ...] = Field(default=(), max_length=128)
    """Functions that may be called for this task alone."""
    forbid_tools: bool = False
    """Whether calling any tool makes the task unsolved."""
    forbid_phrases: tuple[str, ...] = Field(default=(), max_length=32)
    """Phrases that must stand neither in the answer nor in an argument of a call: what a document
    orders, what must not be told."""

    @model_validator(mode="before")
    @classmethod
    def _answer_stands_for_a_check(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "answer" not in data:
            return data
        if "check" in data:
            raise ValueError("give either an answer or a check")
        return {key: value for key, value in data.items() if key != "answer"} | {
            "check": check_of(data["answer"])
        }

    @model_validator(mode="after")
    def _function_names_are_unique(self) -> TaskSpec:
        if repeated := _repeated(function.name for function in self.functions):
            raise ValueError(f"functions appear twice: {repeated}")
        return self

    def prompt(self) -> str:
        """Return what the model is asked: what was said before, the context, the question."""
        said = (
            message.content
            if message.role == "system"
            else f"{message.role.capitalize()}: {message.content}"
            for message in self.messages
        )
        return "\n\n".join(text for text in (*said, self.context, self.question) if text)

    def function_descriptions(self) -> tuple[dict[str, object], ...]:
        """Return the functions as name, description and JSON Schema of the parameters."""
        return tuple(function.model_dump() for function in self.functions)


class SuiteSpec(Spec):
    """A suite file, `suite.toml` in a folder of its own."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    version: int = Field(ge=1)
    description: str
    documents: str | None = None
    """Folder of text documents beside the suite file, searched by the search tool."""
    tasks: str | None = None
    """File of tasks beside the suite file, one JSON object a line; they follow those in it."""
    task: tuple[TaskSpec, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> SuiteSpec:
        if not self.task and self.tasks is None:
            raise ValueError("there is no task")
        if repeated := _repeated(task.id for task in self.task):
            raise ValueError(f"task ids appear twice: {repeated}")
        return self


def _repeated(names: Any) -> str:
    """Return the first few names that appear twice, separated by commas; empty if none does."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    return ", ".join([*twice[:3], *(["..."] if len(twice) > 3 else [])])
