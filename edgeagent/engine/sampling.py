"""Choosing the next token from logits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeagent.engine.protocol import DecodeParams
from edgeagent.errors import EngineError

Logits = NDArray[np.float32]


class Sampler:
    """Greedy at temperature 0, else nucleus sampling with a generator of its own.

    The seed makes a decode repeatable; logits at minus infinity are never chosen.
    """

    def __init__(self, params: DecodeParams) -> None:
        """Prepare for one decode call."""
        self._temperature = params.temperature
        self._top_p = params.top_p
        self._rng = np.random.default_rng(params.seed)

    def choose(self, logits: Logits) -> int:
        """Return a token id given logits `(vocab,)`.

        Raises:
            EngineError: They are not numbers.
        """
        best = int(logits.argmax())
        peak = float(logits[best])  # NaN if there is any
        if not math.isfinite(peak):
            raise EngineError("The model computed no valid logits; its weights are damaged.")
        if self._temperature <= 0:
            return best
        with np.errstate(over="ignore"):  # minus infinity is right for a tiny temperature
            scaled = (logits.astype(np.float64) - peak) / self._temperature
        probabilities = np.exp(scaled)
        probabilities /= probabilities.sum()
        nucleus = _nucleus(probabilities, self._top_p)
        # Not `Generator.choice`, which checks its probabilities for longer than all of this takes.
        cumulative = np.cumsum(probabilities[nucleus])
        drawn = np.searchsorted(cumulative, self._rng.random() * cumulative[-1], side="right")
        return int(nucleus[min(int(drawn), len(nucleus) - 1)])


def _nucleus(probabilities: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Return the smallest set of tokens whose mass reaches `top_p`; it has at least one."""
    if top_p >= 1:
        return np.flatnonzero(probabilities)
    # Tokens below this are together less likely than what the nucleus leaves out, so none of them
    # is in it: only the others are sorted, a few instead of the whole vocabulary.
    candidates = np.flatnonzero(probabilities >= (1 - top_p) / len(probabilities))
    ranked = candidates[np.argsort(-probabilities[candidates])]
    cumulative = np.cumsum(probabilities[ranked])
    return ranked[: int(np.searchsorted(cumulative, top_p)) + 1]


def log_probability(logits: Logits, token_id: int) -> float:
    """Return the natural logarithm of a token's probability under logits `(vocab,)`.

    Raises:
        EngineError: They are not numbers.
    """
    peak = float(logits.max())
    if not math.isfinite(peak):
        raise EngineError("The model computed no valid logits; its weights are damaged.")
    total = float(np.exp(logits - np.float32(peak)).sum(dtype=np.float64))
    return float(logits[token_id]) - peak - math.log(total)
