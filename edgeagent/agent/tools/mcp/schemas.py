"""JSON Schemas of servers, reduced to what small models can fill in and grammars can hold.

What is left are objects with named fields, arrays, texts, numbers, booleans, enumerations and a few
alternatives; references are written out. Whatever fits the reduced schema also fits the original
one, except for rules that no grammar can hold: the server checks those.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from edgeagent.agent.formats.schema_check import schema_error
from edgeagent.agent.tools.mcp.texts import plain_text
from edgeagent.agent.tools.parameters import check_parameters

MAX_DEPTH = 6
MAX_NODES = 400
"""Schemas that refer to themselves many times grow without end when written out."""

MAX_TEXT_CHARS = 200
"""Of a text whose schema gives no bound: calls have to end within an agent's budget of tokens."""

MAX_ITEMS = 8
_MAX_ALTERNATIVES = 4
_MAX_ENUM = 50
_MAX_ENUM_CHARS = 80
_PROPERTY = re.compile(r"[A-Za-z_$][\w$.-]{0,63}", re.ASCII)
_FORMATS = frozenset(("date", "date-time", "time", "uuid"))

Schema = dict[str, Any]


class UnsupportedSchemaError(ValueError):
    """A schema that cannot be reduced; the message is a clause that says why."""


def simplify(schema: Mapping[str, object]) -> Schema:
    """Return the reduced schema of a tool's arguments.

    Raises:
        UnsupportedSchemaError: Something that the tool requires cannot be expressed.
    """
    if schema.get("type", "object") != "object":
        raise UnsupportedSchemaError("its arguments are not an object")
    reduced = _Reducer(schema).reduce({"type": "object", **schema}, depth=0)
    try:
        check_parameters(reduced)
    except ValueError as error:
        raise UnsupportedSchemaError(f"its schema {error}") from error
    return reduced


class _Reducer:
    """Walks one schema; counts what it has seen."""

    def __init__(self, root: Mapping[str, object]) -> None:
        self._root = root
        self._nodes = 0

    def reduce(self, schema: object, depth: int, seen: tuple[str, ...] = ()) -> Schema:
        """Return the reduced schema of a part; `seen` are the references that led to it."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise UnsupportedSchemaError("its schema is too large")
        if depth > MAX_DEPTH:
            raise UnsupportedSchemaError("its schema is nested too deeply")
        if schema is True:
            schema = {}
        if not isinstance(schema, Mapping):
            raise UnsupportedSchemaError("its schema has a part that is no schema")
        if isinstance(reference := schema.get("$ref"), str):
            if reference in seen:
                raise UnsupportedSchemaError("its schema refers to itself")
            target = self._find(reference)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return self.reduce({**target, **rest}, depth, (*seen, reference))
        if isinstance(parts := schema.get("allOf"), list):
            return self.reduce(*self._merged(schema, parts, depth, seen))
        reduced = self._reduce_plain(schema, depth, seen)
        description = schema.get("description")
        if isinstance(description, str) and (text := plain_text(description)):
            reduced["description"] = text
        return reduced

    def _reduce_plain(
        self, schema: Mapping[str, object], depth: int, seen: tuple[str, ...]
    ) -> Schema:
        if (options := _options(schema)) is not None:
            return self._alternatives(options, depth, seen)
        if "const" in schema:
            return _enumeration([schema["const"]])
        if isinstance(values := schema.get("enum"), list):
            return _enumeration(values)
        kind = str(schema.get("type", "object" if "properties" in schema else "string"))
        if kind == "array":
            return self._array(schema, depth, seen)
        if kind == "object":
            return self._object(schema, depth, seen)
        return _simple(kind, schema)

    def _alternatives(
        self, options: list[dict[str, object]], depth: int, seen: tuple[str, ...]
    ) -> Schema:
        found: list[Schema] = []
        reason = "its schema allows nothing"
        for option in options:
            if option.get("type") == "null":
                continue  # a field that may be null may be left out or has another type too
            try:
                reduced = self.reduce(option, depth + 1, seen)
            except UnsupportedSchemaError as error:
                reason = str(error)
                continue
            if reduced not in found:
                found.append(reduced)
        if not found:
            raise UnsupportedSchemaError(reason)
        return found[0] if len(found) == 1 else {"anyOf": found[:_MAX_ALTERNATIVES]}

    def _array(self, schema: Mapping[str, object], depth: int, seen: tuple[str, ...]) -> Schema:
        if "prefixItems" in schema:
            raise UnsupportedSchemaError("its schema has an array with different items")
        least, most = _count(schema, "minItems", 0), _count(schema, "maxItems", MAX_ITEMS)
        if least > MAX_ITEMS:
            raise UnsupportedSchemaError(f"its schema needs {least} items")
        return {
            "type": "array",
            "items": self.reduce(schema.get("items", {}), depth + 1, seen),
            "minItems": least,
            "maxItems": max(least, min(most, MAX_ITEMS)),
        }

    def _object(self, schema: Mapping[str, object], depth: int, seen: tuple[str, ...]) -> Schema:
        given, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(given, Mapping) or not isinstance(required, list):
            raise UnsupportedSchemaError("its schema has fields that are no table")
        if depth and not given:
            raise UnsupportedSchemaError("its schema has an object without named fields")
        properties: dict[str, Schema] = {}
        for name, part in given.items():
            try:
                if not isinstance(name, str) or not _PROPERTY.fullmatch(name):
                    raise UnsupportedSchemaError("its schema has a field without a plain name")
                properties[name] = self.reduce(part, depth + 1, seen)
            except UnsupportedSchemaError:
                if name in required:
                    raise
        if missing := [str(name) for name in required if name not in properties]:
            name = plain_text(missing[0], 40)
            raise UnsupportedSchemaError(f"its schema requires {name!r} and does not describe it")
        return {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name in required],
            "additionalProperties": False,
        }

    def _merged(
        self, schema: Mapping[str, object], parts: list[object], depth: int, seen: tuple[str, ...]
    ) -> tuple[dict[str, object], int, tuple[str, ...]]:
        """Return one schema for all parts of an `allOf`, with what `reduce` needs beside it."""
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in parts[:MAX_NODES]:
            if not isinstance(part, Mapping):
                raise UnsupportedSchemaError("its schema has a part that is no schema")
            if isinstance(reference := part.get("$ref"), str):
                if reference in seen:
                    raise UnsupportedSchemaError("its schema refers to itself")
                seen = (*seen, reference)
                merged = _with(merged, self._find(reference))
            merged = _with(merged, {key: value for key, value in part.items() if key != "$ref"})
        return merged, depth, seen

    def _find(self, reference: str) -> Mapping[str, object]:
        found: object = self._root
        if not reference.startswith("#"):
            raise UnsupportedSchemaError("its schema refers to another document")
        for part in reference.lstrip("#").strip("/").split("/") if reference != "#" else ():
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            raise UnsupportedSchemaError("its schema refers to something that is not there")
        return found


def _with(base: Mapping[str, object], part: object) -> dict[str, object]:
    """Return a schema with what another one adds; fields and requirements come together."""
    if not isinstance(part, Mapping):
        raise UnsupportedSchemaError("its schema has a part that is no schema")
    merged = {**base, **part}
    both = (base, part)
    if all(isinstance(one.get("properties"), Mapping) for one in both):
        merged["properties"] = {**base["properties"], **part["properties"]}  # type: ignore[dict-item]
    if all(isinstance(one.get("required"), list) for one in both):
        merged["required"] = [*base["required"], *part["required"]]  # type: ignore[misc]
    return merged


def _options(schema: Mapping[str, object]) -> list[dict[str, object]] | None:
    """Return the alternatives of a schema, each whole, `None` if it has none."""
    for key in ("anyOf", "oneOf"):
        if isinstance(options := schema.get(key), list):
            base = {name: value for name, value in schema.items() if name != key}
            return [_with(base, option) for option in options]
    if isinstance(kinds := schema.get("type"), list):
        return [{**schema, "type": kind} for kind in kinds]
    return None


def _simple(kind: str, schema: Mapping[str, object]) -> Schema:
    match kind:
        case "string":
            return _text(schema)
        case "integer" | "number":
            return _number(kind, schema)
        case "boolean":
            return {"type": "boolean"}
    raise UnsupportedSchemaError(f"its schema has the type {plain_text(kind, 20)!r}")


def _text(schema: Mapping[str, object]) -> Schema:
    most = _count(schema, "maxLength", MAX_TEXT_CHARS)
    plain: Schema = {
        "type": "string",
        "minLength": min(_count(schema, "minLength", 0), most),
        "maxLength": min(most, max(MAX_TEXT_CHARS, _count(schema, "minLength", 0))),
    }
    if not plain["minLength"]:
        del plain["minLength"]
    if schema.get("format") in _FORMATS:
        return {"type": "string", "format": schema["format"]}
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and len(pattern) <= MAX_TEXT_CHARS:
        # Regular expressions differ between languages; one that grammars do not know is left out,
        # and one without a bound would let a call run on.
        narrowed = {**plain, "pattern": pattern}
        if not schema_error({"type": "object", "properties": {"text": narrowed}}):
            return narrowed
    return plain


def _number(kind: str, schema: Mapping[str, object]) -> Schema:
    reduced: Schema = {"type": kind}
    for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        bound = schema.get(key)
        if isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound):
            reduced[key] = bound
    return reduced


def _enumeration(values: list[object]) -> Schema:
    kept: list[object] = []
    for value in values[:_MAX_ENUM]:
        if isinstance(value, str):
            # It has to be sent back as it is, so it cannot be made plain.
            if len(value) <= _MAX_ENUM_CHARS and plain_text(value, _MAX_ENUM_CHARS) == value:
                kept.append(value)
        elif isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            kept.append(value)
    if not kept:
        raise UnsupportedSchemaError("its schema has a choice between nothing that can be written")
    return {"enum": kept}


def _count(schema: Mapping[str, object], key: str, default: int) -> int:
    value = schema.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return default
