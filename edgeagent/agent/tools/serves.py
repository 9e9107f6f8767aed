"""Whether a function that is known by its description only can serve a question.

Very small models call whatever they are offered, with values that nobody stated. So grounded agents
are offered a function only if the question shares a word with what the function says of itself, and
states as many numbers as it asks for; and of the fields that may be left out those that the
question says something for. The words are English: other questions are left to the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgeagent.agent.tools.documents.words import STOP_WORDS, content_words
from edgeagent.agent.tools.protocol import JsonSchema, Tool

_STEM_CHARS = 5
_EVERYWHERE = frozenset(
    {
        *("calculate", "certain", "check", "compute", "data", "details", "determine", "fetch"),
        *("find", "function", "get", "give", "given", "information", "list", "number", "provide"),
        *("result", "results", "retrieve", "return", "search", "show", "specific", "specified"),
        *("text", "tool", "use", "used", "user", "using", "value", "values"),
        *("amount", "based", "between", "particular"),
    }
)
"""Words of descriptions that say nothing of what a function is about."""
_NUMBER_WORDS = frozenset(
    {
        *("a", "an", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        *("eleven", "twelve", "twenty", "thirty", "forty", "fifty", "hundred", "thousand"),
        *("million", "dozen", "half", "quarter", "double", "twice", "once", "single", "pair"),
        *("both", "first", "second", "third", "last", "next", "hour", "day", "week", "month"),
        *("year", "daily", "weekly", "monthly", "yearly", "annual", "annually", "minute"),
    }
)
"""Words that may stand for a number, such as `a year` and `monthly`."""
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_LETTERS = re.compile(r"[a-z]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def offer_stated(tool: Tool, question: str) -> JsonSchema | None:
    """Return the parameters with the optional fields that the question says something for.

    `None`: the function does not serve the question.
    """
    if not set(_LETTERS.findall(question.lower())) & STOP_WORDS:
        return tool.parameters
    fields, required = tool.parameters.get("properties"), tool.parameters.get("required", ())
    fields = fields if isinstance(fields, Mapping) else {}
    required = required if isinstance(required, list | tuple) else ()
    own = " ".join((tool.name, tool.description, *map(str, fields)))
    asked = _stems(question)
    if not _stems(own) & asked:
        return None
    left = _numbers(question) - sum(_is_number(fields.get(name)) for name in required)
    if left < 0:
        return None
    kept = {
        name: field
        for name, field in fields.items()
        if name in required or _is_stated(str(name), field, question.lower(), asked, left)
    }
    return {**tool.parameters, "properties": kept} if len(kept) < len(fields) else tool.parameters


def _is_stated(name: str, field: object, question: str, asked: set[str], numbers: int) -> bool:
    """Whether a question says something for an optional field."""
    if not isinstance(field, Mapping):
        return True
    is_named = bool(_stems(name) & asked)
    if isinstance(values := field.get("enum"), list):
        words = {word for value in values for word in _LETTERS.findall(str(value).lower())}
        return is_named or any(len(word) > 2 and word in question for word in words)
    if _is_number(field):
        return numbers > 0
    return is_named or field.get("type") not in {"string", "boolean"}


def _is_number(field: object) -> bool:
    return isinstance(field, Mapping) and field.get("type") in {"integer", "number"}


def _numbers(text: str) -> int:
    words = _LETTERS.findall(text.lower())
    return len(_DIGITS.findall(text)) + sum(word in _NUMBER_WORDS for word in words)


def _stems(text: str) -> set[str]:
    words = content_words(_CAMEL.sub(" ", text).replace("_", " "))
    return {
        word[:_STEM_CHARS] for word in words if word not in _EVERYWHERE and not word.isdecimal()
    }
