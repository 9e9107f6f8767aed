"""Finding out whether a grammar can be made of a tool's schema, before any task needs it."""

from __future__ import annotations

from collections.abc import Mapping

from edgeagent.agent.formats.schema import value_rules
from edgeagent.errors import EngineError, ToolError


def schema_error(schema: Mapping[str, object]) -> str:
    """Return why no grammar can be made of the parameters of a tool, empty if one can."""
    from edgeagent.engine.grammar import SINGLE_BYTES, GrammarMatcher, GrammarTokenizer

    try:
        lines = value_rules("args", schema)
        tokenizer = GrammarTokenizer(SINGLE_BYTES, None, ())
        GrammarMatcher(tokenizer, "\n".join(["start: args", *lines]))
    except (EngineError, ToolError, RecursionError) as error:
        return str(error).removesuffix(".")
    return ""


def check_schema(tool: str, schema: Mapping[str, object]) -> None:
    """Compile the parameters of a tool, so that a bad schema is found before any task runs.

    Raises:
        ToolError: No grammar can be made of it.
    """
    if reason := schema_error(schema):
        raise ToolError(f"The parameters of the tool {tool[:80]!r} cannot be enforced: {reason}.")
