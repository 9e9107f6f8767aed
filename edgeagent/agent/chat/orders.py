"""Telling text that is meant for a model from text that is meant for its reader.

A heuristic over common attacks in English, and used only where being wrong costs little: such a
text is not learned from and not quoted. It is no defence by itself. What keeps documents from
acting is that they are data: their control tokens are broken, calls are the model's own and follow
a grammar, and what tools may do is what the user allowed.
"""

from __future__ import annotations

import re

_ORDERS = re.compile(
    r"""
      <\|[^|>\n]{0,60}\|>                                   # <|im_start|>
    | <\u200b | \u200b\|                                    # the same, made harmless
    | </?\s?(?:tool_call|tool_response|start_of_turn|end_of_turn|think|system|s)> | \[/?INST\]
    | ^\s*(?:Thought|Call|Answer|Result|System|Assistant|User)\s*:   # lines that look like turns
    | \b(?:ignore|disregard|forget)\b.{0,40}\b(?:instructions?|prompts?|rules|above|previous)\b
    | \b(?:system\ prompt|your\ instructions)\b
    | \byou\s+(?:must|should|have\ to)\s+(?:call|use|run|answer|reply|say)\b
    | \b(?:in(?:to)?|as)\ (?:the|your|its)\ answer\b
    | \bthe\ (?:only\ )?(?:right|correct|true)\ answer\b
    | \bsystem\s+override\b | <!--
    | "(?:arguments|tool_calls?)"\s*:
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_INVISIBLE = re.compile(
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)


def gives_orders(text: str) -> bool:
    """Whether a text looks as if it were meant for the model and not for the reader."""
    return bool(_INVISIBLE.search(text) or _ORDERS.search(text))
