"""Finding past successes that resemble a question, and showing them as worked examples.

Questions resemble each other by their wording: single words, pairs of neighbours and pieces of long
words, weighted by how rare they are among what is remembered. Numbers all count as the same: what
can be learned from a sum is its shape. No model is needed, and a thousand traces take milliseconds.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.memory.store import StoredTrace, TraceStore

DEFAULT_EXAMPLES = 2
MIN_SIMILARITY = 0.1
"""Cosine; below it an example has no more in common with the question than any other."""

_WORD = re.compile(r"\d[\d.,:]*|[^\W\d_]+")
_PIECE_CHARS = 5


@dataclass(frozen=True, slots=True)
class _Known:
    """A trace with the weights of its question."""

    stored: StoredTrace
    weights: Mapping[str, float]
    used: frozenset[str]
    at_hand: frozenset[str]


class Memory:
    """A store of traces as agents use it; see `edgeagent.agent.runtime.Recall`."""

    def __init__(self, store: TraceStore, k: int = DEFAULT_EXAMPLES) -> None:
        """Recall up to `k` traces for a question; the store is closed with the memory."""
        self.store = store
        self._k = k
        self._version: tuple[int, int] | None = None
        self._known: tuple[_Known, ...] = ()
        self._rarity: Mapping[str, float] = {}

    def examples(self, question: str, tools: Collection[str]) -> tuple[Example, ...]:
        """Return the most similar successes that used no other tools, the most similar last.

        Raises:
            ResourceError: The file cannot be read.
        """
        self._refresh()
        asked = _weights(features(question), self._rarity)
        names = frozenset(tools)
        found = [
            (similarity, known.stored.id, known.stored.trace)
            for known in self._known
            # Who had none of these tools at hand shows nothing about when to use them.
            if known.used <= names
            and known.at_hand & names
            and (similarity := _cosine(asked, known.weights)) >= MIN_SIMILARITY
        ]
        found.sort(key=lambda one: one[:2])
        return tuple(trace.example() for _, _, trace in found[max(0, len(found) - self._k) :])

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _refresh(self) -> None:
        """Read the store again if it changed."""
        version = self.store.version()
        if version == self._version:
            return
        stored = self.store.traces()
        counted = [features(one.trace.question) for one in stored]
        in_how_many = Counter(feature for counts in counted for feature in counts)
        self._rarity = {
            feature: math.log(1 + len(stored) / count) for feature, count in in_how_many.items()
        }
        self._known = tuple(
            _Known(
                one,
                _weights(counts, self._rarity),
                frozenset(call.tool for call in one.trace.calls),
                frozenset(one.trace.tools),
            )
            for one, counts in zip(stored, counted, strict=True)
        )
        self._version = version


def features(question: str) -> Counter[str]:
    """Return the words of a question, their pairs and the pieces of long ones, with their counts.

    Every number is `#`.
    """
    words = ["#" if word[0].isdecimal() else word for word in _WORD.findall(question.casefold())]
    pairs = (f"{left} {right}" for left, right in itertools.pairwise(words))
    pieces = (
        f"~{word[start : start + _PIECE_CHARS]}"
        for word in words
        for start in range(len(word) - _PIECE_CHARS + 1)
    )
    return Counter([*words, *pairs, *pieces])


def harmless(example: Example, neutralize: Callable[[str], str]) -> Example:
    """Return the example with control tokens broken wherever text of it comes from outside."""

    def clean(value: object) -> object:
        if isinstance(value, str):
            return neutralize(value)
        if isinstance(value, dict):
            return {neutralize(str(key)): clean(item) for key, item in value.items()}
        return [clean(item) for item in value] if isinstance(value, list) else value

    return Example(
        neutralize(example.question),
        tuple(
            Turn(
                neutralize(turn.thought),
                tuple(
                    Call(
                        call.tool,
                        {neutralize(name): clean(value) for name, value in call.arguments.items()},
                    )
                    for call in turn.calls
                ),
                neutralize(turn.answer),
            )
            for turn in example.turns
        ),
        tuple(map(neutralize, example.observations)),
    )


def _weights(counts: Mapping[str, int], rarity: Mapping[str, float]) -> dict[str, float]:
    """Return a vector of length 1; what is not remembered cannot match and only adds length."""
    unknown = max(rarity.values(), default=1.0)
    raw = {feature: math.sqrt(n) * rarity.get(feature, unknown) for feature, n in counts.items()}
    length = math.hypot(*raw.values()) or 1.0
    return {feature: weight / length for feature, weight in raw.items()}


def _cosine(left: Mapping[str, float], right: Mapping[str, float]) -> float:
    small, large = sorted((left, right), key=len)
    return math.fsum(weight * large.get(feature, 0.0) for feature, weight in small.items())
