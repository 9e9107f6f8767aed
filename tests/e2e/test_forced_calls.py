"""Calls on a real vocabulary: what is forced is what the model itself would have been fed."""

from __future__ import annotations

import pytest

from edgeagent.agent.formats import FORMAT_NAMES, tool_format
from edgeagent.agent.formats.native import NativeFormat
from edgeagent.agent.formats.protocol import Call, TurnRules
from edgeagent.agent.tools.protocol import Offer
from edgeagent.engine.genai import GenaiEngine

SCHEMA = {
    "type": "object",
    "properties": {
        "expression": {"type": "string"},
        "digits": {"type": "integer"},
        "exact": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["expression", "digits", "exact", "tags"],
}
CALL = Call(
    "calculator",
    {"expression": "23 * 47 + (1 - 2)", "digits": 12, "exact": True, "tags": ["a b", "Größe"]},
)
NATIVE = [found for found in map(tool_format, FORMAT_NAMES) if isinstance(found, NativeFormat)]


@pytest.mark.parametrize("text_format", NATIVE, ids=lambda found: found.name)
def test_forced_tokens_are_those_of_the_whole_text(
    smollm2: GenaiEngine, text_format: NativeFormat
) -> None:
    rules = TurnRules((Offer("calculator", SCHEMA), Offer("search", {})), max_calls=2)
    matcher = smollm2.matcher(text_format.grammar(rules))
    expected = smollm2.encode(text_format.write([CALL, CALL]))
    found: list[int] = []
    forced = 0
    while not matcher.finished and len(found) < len(expected):
        tokens = matcher.forced()
        forced += len(tokens)
        tokens = tokens or [expected[len(found)]]
        matcher.consume(tokens)
        found += tokens
        assert found == expected[: len(found)]
    assert found == expected
    assert forced >= 10  # names, keys, quotes and brackets
