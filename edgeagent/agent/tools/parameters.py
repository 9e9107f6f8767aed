"""Whether a schema of arguments can be used: as a grammar, and in a prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def check_parameters(parameters: object) -> None:
    """Check a JSON Schema of arguments.

    Raises:
        ValueError: It is not the schema of an object, or no grammar can be made of it; the
            message is a clause that says why.
    """
    if not isinstance(parameters, Mapping) or parameters.get("type") != "object":
        raise ValueError('is not the JSON Schema of an object ("type": "object")')
    properties = parameters.get("properties", {})
    if not isinstance(properties, Mapping):
        raise ValueError("has `properties` that are no table of arguments")
    required = parameters.get("required", ())
    if not isinstance(required, list | tuple) or not all(
        isinstance(name, str) for name in required
    ):
        raise ValueError("has a `required` that is no list of names")
    if missing := [name for name in required if name not in properties]:
        raise ValueError(f"requires {missing[0]!r}, which is not among its properties")
    try:
        text = json.dumps(parameters)
    except (TypeError, ValueError) as error:
        raise ValueError(f"is not JSON ({error})") from error
    if reason := grammar_error(text):
        raise ValueError(f"cannot be made a grammar ({reason})")


def grammar_error(schema_json: str) -> str:
    """Return why no grammar can be made of a JSON Schema, empty if one can."""
    import llguidance

    try:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema_json)
        error = llguidance.LLMatcher.validate_grammar(grammar)
    except Exception as failure:
        error = str(failure)
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else ""
