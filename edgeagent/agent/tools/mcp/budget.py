"""Fit a tool's description and schema into a budget of tokens.

The prompt of every turn holds them. What goes first is what a model misses least: descriptions deep
inside, long prose, fields that need not be given.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgeagent.agent.tools.mcp.schemas import Schema
from edgeagent.agent.tools.mcp.texts import shorten

_SHORTER_CHARS = 160
_SHORTEST_CHARS = 60


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model is shown of a tool."""

    name: str
    description: str
    parameters: Schema

    def text(self) -> str:
        """Return it as JSON, about as chat templates write it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


def fit(shown: Shown, count_tokens: Callable[[str], int], max_tokens: int) -> Shown | None:
    """Return the fullest version of what is shown that fits, `None` if not even the least does."""
    for candidate in _versions(shown):
        if count_tokens(candidate.text()) <= max_tokens:
            return candidate
    return None


def _versions(shown: Shown) -> Iterator[Shown]:
    """Yield ever shorter versions."""
    name, description, schema = shown.name, shown.description, copy.deepcopy(shown.parameters)
    yield shown
    _drop_descriptions(schema, below=1)
    yield Shown(name, description, copy.deepcopy(schema))
    description = shorten(description, _SHORTER_CHARS)
    yield Shown(name, description, copy.deepcopy(schema))
    _drop_optional(schema, below=1)
    yield Shown(name, description, copy.deepcopy(schema))
    for field in reversed(_optional(schema)):
        schema["properties"][field].pop("description", None)
        yield Shown(name, description, copy.deepcopy(schema))
    for field in reversed(_optional(schema)):
        del schema["properties"][field]
        yield Shown(name, description, copy.deepcopy(schema))
    _drop_descriptions(schema, below=0)
    yield Shown(name, description, copy.deepcopy(schema))
    yield Shown(name, shorten(description, _SHORTEST_CHARS), schema)


def _optional(schema: Schema) -> list[str]:
    return [name for name in schema.get("properties", {}) if name not in schema["required"]]


def _inner(schema: Schema) -> Iterator[Schema]:
    """Yield the schemas right inside of one."""
    yield from schema.get("properties", {}).values()
    yield from schema.get("anyOf", ())
    if "items" in schema:
        yield schema["items"]


def _drop_descriptions(schema: Schema, below: int, depth: int = 0) -> None:
    for inner in _inner(schema):
        if depth >= below:
            inner.pop("description", None)
        _drop_descriptions(inner, below, depth + 1)


def _drop_optional(schema: Schema, below: int, depth: int = 0) -> None:
    if depth >= below and "properties" in schema:
        for name in _optional(schema):
            # An object of optional fields only would become an object of none.
            if len(schema["properties"]) > 1:
                del schema["properties"][name]
    for inner in _inner(schema):
        _drop_optional(inner, below, depth + 1)
