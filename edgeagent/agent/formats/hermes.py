r"""The Hermes format of Qwen2.5 and Qwen3: tools in the template, calls as JSON in tags.

A call is written as the template shows it, and several ones below one another::

    <tool_call>
    {"name": "calculator", "arguments": {"expression": "23 * 47"}}
    </tool_call>

Some models of the family never learned the tags, which are tokens of their own, and write the
object alone; both are understood. Words before the calls are a thought; a turn without a call is
the answer, in the model's own words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgeagent.agent.formats.native import NativeFormat
from edgeagent.agent.formats.notation import JSON
from edgeagent.agent.formats.protocol import Call, TurnRules
from edgeagent.agent.formats.reading import read_calls
from edgeagent.agent.formats.turn_grammar import (
    THINK,
    THOUGHT_END,
    call_rules,
    several,
    text_terminal,
    turn_grammar,
)

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class HermesFormat(NativeFormat):
    """See the module."""

    name = "hermes"
    markup = (OPEN, CLOSE, "<tool_response>", "</tool_response>", THINK, THOUGHT_END)
    openings = (OPEN, "{")

    def grammar(self, rules: TurnRules) -> str:
        """Return the grammar of one turn; quotes are left aside."""
        lines = [
            *call_rules(rules, lambda name: (f'{{"name": {json.dumps(name)}, "arguments": ', "}")),
            r'tagged: markup_open "\n" call "\n" markup_close',
            f'markup_open: "{OPEN}"',
            f'markup_close: "{CLOSE}"',
            f'markup_lead[lazy]: LEAD "{OPEN}"',
            f"LEAD: /[^\\s<>{{}}\\[`](?s:.{{0,{max(rules.lead_chars - 1, 0)}}})/",
        ]
        led = r'markup_lead "\n" call "\n" markup_close'
        more = several(rules, "tagged", "\n").removeprefix("tagged")
        return turn_grammar(
            rules,
            [several(rules, "tagged", "\n"), *self._untagged(rules)],
            lines,
            # An answer begins like a sentence, not like code or a call without its tags.
            text=text_terminal("<>{[`", (OPEN, CLOSE, THINK, THOUGHT_END)),
            lead=led + more,
        )

    def _untagged(self, rules: TurnRules) -> list[str]:
        return [several(rules, "call", "\n")]

    def write(self, calls: Sequence[Call]) -> str:
        """Return the calls in tags."""
        return "\n".join(
            f"{OPEN}\n{JSON.write({'name': call.tool, 'arguments': call.arguments})}\n{CLOSE}"
            for call in calls
        )

    def _calls_begin(self, text: str) -> int | None:
        at = text.find(OPEN)
        return super()._calls_begin(text) if at < 0 else at

    def read(self, text: str) -> tuple[Call, ...]:
        """Return the calls in tags, or without any."""
        if not text.startswith(OPEN):
            return read_calls(text)
        calls: list[Call] = []
        for part in text.split(OPEN)[1:]:
            body, closing, _ = part.partition(CLOSE)
            if closing:
                calls += read_calls(body)
        if not calls:
            raise ValueError("the tool call is not closed")
        return tuple(calls)

    def answer_part(self, text: str) -> str:
        """Return all of a turn up to the first tag that is not a thinking section."""
        shown = super().answer_part(text).partition(OPEN)[0]
        # The tag itself comes in pieces where it is not a token of the vocabulary.
        for length in range(len(OPEN) - 1, 0, -1):
            if shown.endswith(OPEN[:length]):
                return shown[:-length]
        return shown
