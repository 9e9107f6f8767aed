"""Whether a schema of arguments can be used: as a grammar, and in a prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from edgeagent.agent.formats.schema_check import schema_error

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
        json.dumps(parameters)
    except (TypeError, ValueError) as error:
        raise ValueError(f"is not JSON ({error})") from error
    if reason := schema_error(parameters):
        raise ValueError(f"cannot be made a grammar ({reason})")
