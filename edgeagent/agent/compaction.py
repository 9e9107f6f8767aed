"""Shortening a conversation that no longer fits, from its oldest results on.

The prefix and the question stay as they are, so what the KV cache holds of them stays valid; only
what comes behind the first shortened result is prefilled again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.agent.formats.protocol import Observation

SHORT_CHARS = 160
"""Characters that are left of an old result."""
_CUT = " [shortened]"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn of the model with calls, and what they brought.

    Attributes:
        reply: The model's turn as it was generated.
        observations: What each call brought.
    """

    reply: str
    observations: tuple[Observation, ...]


def compacted(exchanges: Sequence[Exchange]) -> list[Exchange] | None:
    """Return a shorter conversation, or `None` if it cannot be any shorter.

    First all results but those of the last exchange are cut, then the oldest exchanges are left
    out, at last the results of the remaining one are cut: the newest result is what the next turn
    is about.
    """
    if not exchanges:
        return None
    *older, last = exchanges
    cut = [_cut(exchange) for exchange in older]
    if cut != older:
        return [*cut, last]
    if older:
        return [*older[1:], last]
    shortest = _cut(last)
    return [shortest] if shortest != last else None


def _cut(exchange: Exchange) -> Exchange:
    return Exchange(
        exchange.reply,
        tuple(Observation(found.call, _short(found.text)) for found in exchange.observations),
    )


def _short(text: str) -> str:
    if len(text) <= SHORT_CHARS + len(_CUT):
        return text
    return text[:SHORT_CHARS] + _CUT
