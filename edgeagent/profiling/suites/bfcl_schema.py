"""From the benchmark's descriptions of functions to JSON Schema, and to names that models write.

The Berkeley function-calling leaderboard describes parameters in a dialect of its own: types named
after Python, Java or JavaScript (`dict`, `float`, `tuple`, `ArrayList`), enumerations that
contradict the type beside them, keys that mean nothing. Grammars need proper schemas.

Functions of Java and JavaScript take every argument as source text of that language, as the
benchmark has it for models that call by JSON; the descriptions say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeagent.profiling.bfcl_wheel import language_of

_TYPES = {
    "dict": "object",
    "object": "object",
    "float": "number",
    "number": "number",
    "double": "number",
    "tuple": "array",
    "array": "array",
    "list": "array",
    "integer": "integer",
    "boolean": "boolean",
    "bool": "boolean",
    "string": "string",
    # What stands for a variable or an expression is written as text, as the benchmark expects.
    "any": "string",
}
_PYTHON_TYPES = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
}
_KEPT = ("minItems", "maxItems", "minimum", "maximum")
_LANGUAGES = {"java": "Java", "javascript": "JavaScript"}


def safe_name(name: str) -> str:
    """Return a function's name without dots, as its checker expects it of models without them."""
    return name.replace(".", "_")


def function_spec(function: Mapping[str, Any], category: str) -> dict[str, Any]:
    """Return one function with a safe name and proper JSON Schema.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: It has not the benchmark's shape.
    """
    language = _LANGUAGES.get(language_of(category))
    parameters = function["parameters"]
    if language is not None:
        schema = _object(
            parameters,
            {name: _as_text(value, language) for name, value in parameters["properties"].items()},
        )
    else:
        schema = _schema(parameters)
    return {
        "name": safe_name(function["name"]),
        "description": function["description"],
        "parameters": schema,
    }


def _schema(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of one description and all that is in it."""
    kind = _TYPES.get(found["type"])
    if kind is None:
        raise ValueError(f"unknown type {found['type']!r}")
    if kind == "object":
        properties = found.get("properties")
        if not properties:
            open_object: dict[str, Any] = {"type": "object", **_described(found)}
            return open_object if properties is None else _object(found, {})
        return _object(found, {name: _schema(value) for name, value in properties.items()})
    schema: dict[str, Any] = {"type": kind, **_described(found)}
    schema |= {key: found[key] for key in _KEPT if isinstance(found.get(key), int)}
    if kind == "array":
        schema["items"] = _schema(found["items"]) if "items" in found else {}
        # What is listed are the items: no array equals one of these values.
        schema["items"] |= _enumeration(found, schema["items"].get("type", ""))
    return schema | _enumeration(found, kind)


def _object(found: Mapping[str, Any], properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    required = [name for name in found.get("required", ()) if name in properties]
    return {
        "type": "object",
        **_described(found),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _described(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: found[key] for key in ("description", "default") if found.get(key) not in (None, "")
    }


def _enumeration(found: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the enumeration, unless its values are not of the type and so forbid everything."""
    values = found.get("enum")
    types = _PYTHON_TYPES.get(kind)
    if not values or types is None or not all(type(value) in types for value in values):
        return {}
    return {"enum": list(dict.fromkeys(values))}


def _as_text(found: Mapping[str, Any], language: str) -> dict[str, Any]:
    """Return the schema of an argument that is written as source text of another language."""
    kind = found["type"]
    what = "any type of object" if kind == "any" else f"type {kind or 'any'}"
    said = f"{found['description']} {language} source text of {what}."
    items = found.get("items", {}).get("type")
    if items:
        said += f" Its items are of type {items}."
    if "properties" in found:
        said += f" Its entries: {', '.join(found['properties'])}."
    return {"type": "string", "description": said.strip()}
