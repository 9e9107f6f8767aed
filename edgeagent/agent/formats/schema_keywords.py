"""What JSON Schema's keywords say: references, types, and two schemas that hold together."""

from __future__ import annotations

from collections.abc import Mapping

from edgeagent.errors import ToolError

_ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "example",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "definitions",
        "x-guidance",
    }
)
"""They say something to people, or hold what others refer to."""

_UNKNOWN = frozenset(
    {
        "not",
        "if",
        "then",
        "else",
        "patternProperties",
        "propertyNames",
        "dependentSchemas",
        "dependentRequired",
        "contains",
        "unevaluatedProperties",
        "unevaluatedItems",
        "$dynamicRef",
    }
)
"""Conditions that no grammar is made of; a call that ignores them would be refused by the tool."""

_KEYWORDS_OF_TYPES = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}

Json = Mapping[str, object]


def without_annotations(schema: Json) -> Json:
    """Return what limits values."""
    return {key: value for key, value in schema.items() if key not in _ANNOTATIONS}


def check_keywords(schema: Json) -> None:
    """Refuse conditions that cannot be enforced.

    Raises:
        ToolError: The schema has one.
    """
    for key in schema:
        if key in _UNKNOWN:
            raise ToolError(f"the keyword {key!r} is not supported")


def types_of(schema: Json) -> tuple[str, ...]:
    """Return the types of a schema's values, told by other keywords where it names none."""
    kind = schema.get("type")
    if kind is None:
        names = [
            name
            for name, keywords in _KEYWORDS_OF_TYPES.items()
            if any(key in schema for key in keywords)
        ]
    elif isinstance(kind, list | tuple):
        names = [str(name) for name in kind]
    else:
        names = [str(kind)]
    if schema.get("nullable") is True and names:
        names.append("null")
    return tuple(dict.fromkeys(names))


def resolve(root: Json, pointer: str) -> Json:
    """Return what a reference inside the same schema means.

    Raises:
        ToolError: It refers to another document, or to nothing.
    """
    if not pointer.startswith("#"):
        raise ToolError(f"{pointer[:60]!r} refers to another document")
    found: object = root
    for part in pointer.removeprefix("#").strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if name:
            found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise ToolError(f"{pointer[:60]!r} refers to nothing")
    return found


def merged(first: Json, second: object) -> Json:
    """Return a schema for values that fit both.

    Raises:
        ToolError: That cannot be told.
    """
    if second is True:
        return first
    if not isinstance(second, Mapping):
        raise ToolError("a schema is not an object")
    result = dict(without_annotations(first))
    for key, value in without_annotations(second).items():
        if key not in result or result[key] == value:
            result[key] = value
        elif key == "properties" and isinstance(value, Mapping):
            result[key] = _merged_fields(result[key], value)
        elif key == "required" and isinstance(value, list | tuple):
            before = result[key]
            before = before if isinstance(before, list | tuple) else ()
            result[key] = list(dict.fromkeys((*before, *value)))
        elif key == "type":
            result[key] = _merged_types(first, second)
        else:
            raise ToolError(f"two schemas that shall hold together differ in {key!r}")
    return result


def _merged_fields(first: object, second: Json) -> Json:
    fields = dict(first) if isinstance(first, Mapping) else {}
    for name, schema in second.items():
        before = fields.get(name, True)
        fields[name] = merged(before, schema) if isinstance(before, Mapping) else schema
    return fields


def _merged_types(first: Json, second: Json) -> list[str]:
    both = [name for name in types_of(first) if name in types_of(second)]
    if not both and {"integer", "number"} <= {*types_of(first), *types_of(second)}:
        both = ["integer"]
    if not both:
        raise ToolError("two schemas that shall hold together have different types")
    return both
