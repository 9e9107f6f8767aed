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
        order = np.argsort(-probabilities)
        cumulative = np.cumsum(probabilities[order])
        # The nucleus is the smallest set whose mass reaches top_p; it has at least one token.
        nucleus = order[: int(np.searchsorted(cumulative, self._top_p)) + 1]
        mass = probabilities[nucleus]
        return int(self._rng.choice(nucleus, p=mass / mass.sum()))
