"""JSON Schemas inside Lark grammars (llguidance dialect)."""

from __future__ import annotations

import json
from collections.abc import Mapping

CANONICAL_JSON = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""One way to write a value, so that everything but the values themselves is forced."""


def json_rule(schema: Mapping[str, object]) -> str:
    """Return the right-hand side of a rule that matches JSON of the schema."""
    return "%json " + json.dumps({**schema, "x-guidance": CANONICAL_JSON})


def literal(text: str) -> str:
    """Return a text as a quoted Lark terminal."""
    return json.dumps(text, ensure_ascii=False)
