"""What a tool that knows nothing of grounding offers: arguments made of what was said.

Tools of servers and programs describe themselves in words. Whether they serve a question is judged
by the words that both share, and their texts and numbers come from the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from edgeagent.agent.tools.calculator import operands
from edgeagent.agent.tools.documents.words import STOP_WORDS, content_words
from edgeagent.agent.tools.protocol import JsonSchema, Tool, object_schema, pattern_schema

MAX_WORDS = 8
"""Of a text argument."""

_MAX_OFFERED_WORDS = 60
_STEM_CHARS = 5
_WORD = re.compile(r"\w[\w.:@/'+-]*\w|\w")
_EVERYWHERE = frozenset(
    ("tool", "get", "give", "find", "list", "return", "show", "use", "used", "value", "text")
)
"""Words of descriptions that say nothing of what a tool is about."""


def offer_said(tool: Tool, question: str, results: Sequence[str]) -> JsonSchema | None:
    """Return the schema of arguments that consist of what was said, `None` if nothing fits.

    Fields that need not be given are left out, unless one of their values was said.

    Args:
        tool: Describes itself in words.
        question: What was asked.
        results: What tools answered so far.
    """
    own = _stems(" ".join(_texts(tool)))
    if not own & _stems(question):
        return None
    said = " ".join((question, *results))
    properties, required = tool.parameters.get("properties", {}), tool.parameters.get("required")
    if not isinstance(properties, Mapping) or not isinstance(required, list | tuple):
        return tool.parameters
    narrowed: dict[str, JsonSchema] = {}
    for name, field in properties.items():
        schema = _narrow(field, said, own)
        if name in required:
            if schema is None:
                return None
            narrowed[name] = schema
        elif schema is not None and "enum" in field and schema != field:
            narrowed[name] = schema
    return object_schema(**narrowed)


def _narrow(field: Mapping[str, Any], said: str, own: set[str]) -> JsonSchema | None:
    """Return the schema of a field's values that were said, `None` if there is none.

    Words that the tool itself uses say which tool is meant and not with what: they are left out of
    texts if there are others.
    """
    if isinstance(values := field.get("enum"), list):
        spoken = said.lower()
        named = [value for value in values if str(value).lower() in spoken]
        return {**field, "enum": named} if named else field
    match field.get("type"):
        case "integer" | "number":
            numbers = [_number(text) for text in operands(said) if not text.endswith("%")]
            fitting = [number for number in numbers if _fits(number, field)]
            return {"enum": list(dict.fromkeys(fitting))} if fitting else None
        case "string" if not {"pattern", "format"} & set(field):
            words = [word for word in _WORD.findall(said) if word.lower() not in STOP_WORDS]
            words = [word for word in words if not _stems(word) & own] or words
            different = list(dict.fromkeys(words))[:_MAX_OFFERED_WORDS]
            alternatives = "|".join(map(re.escape, different))
            if not alternatives:
                return None
            pattern = f"({alternatives})( ({alternatives})){{0,{MAX_WORDS - 1}}}"
            return pattern_schema(str(field.get("description", "")), pattern)
    return field


def _number(text: str) -> int | float:
    value = Fraction(text)
    return int(value) if value.denominator == 1 else float(value)


def _fits(number: float, field: Mapping[str, Any]) -> bool:
    if field["type"] == "integer" and not isinstance(number, int):
        return False
    least, most = field.get("minimum", number), field.get("maximum", number)
    return bool(least <= number <= most)


def _texts(tool: Tool) -> Iterator[str]:
    """Yield what a tool says of itself and of its arguments."""
    yield tool.name.replace("_", " ")
    yield tool.description
    properties = tool.parameters.get("properties", {})
    for name, field in properties.items() if isinstance(properties, Mapping) else ():
        yield str(name).replace("_", " ")
        yield str(field.get("description", ""))
        yield from map(str, field.get("enum", ()))


def _stems(text: str) -> set[str]:
    return {word[:_STEM_CHARS] for word in content_words(text) if word not in _EVERYWHERE}
