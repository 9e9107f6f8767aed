"""Which inputs of a linear layer are large: what weights their columns' errors when rounding.

The error of a product is the error of the weights times the input. With the mean squares of a
layer's inputs as importance, the search keeps those columns that matter better; inputs of language
models differ by orders of magnitude. The idea is that of activation-aware quantization
(https://arxiv.org/abs/2306.00978) and of ggml's importance matrix; nothing but the search changes,
so a package is neither larger nor slower for it.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import numpy.typing as npt

from edgeagent.export.quantize.search import Floats

CALIBRATION_TOKENS = 1024
"""Tokens of the text that are used at most; four times as many change the result by nothing that
could be measured."""


def calibration_text() -> str:
    """About 1,000 tokens of prose, code and tool calls, none of them from the verification."""
    return files(__package__).joinpath("calibration.txt").read_text(encoding="utf-8")


class InputStatistics:
    """Mean squares of inputs, gathered while a decoder runs; memory is one row for each input."""

    def __init__(self) -> None:
        self._sums: dict[str, npt.NDArray[np.float64]] = {}
        self._counts: dict[str, int] = {}

    def observe(self, name: str, values: Floats) -> None:
        """Take inputs.

        Args:
            name: Of the input; projections that read the same one share a name.
            values: `(tokens, width)` float32.

        Raises:
            ValueError: An input has another width than before.
        """
        squares = np.einsum("tw,tw->w", values, values, dtype=np.float64)
        known = self._sums.setdefault(name, np.zeros_like(squares))
        if known.shape != squares.shape:
            raise ValueError(f"{name} had {known.size} columns and now has {squares.size}")
        known += squares
        self._counts[name] = self._counts.get(name, 0) + len(values)

    def importance(self, name: str) -> Floats | None:
        """Mean square of every column, `(width,)` float32; `None` if nothing usable was observed.

        A decoder that overflows on some text has no statistics there, and plain squared errors are
        a sound measure without them.
        """
        if not self._counts.get(name):
            return None
        means = self._sums[name] / self._counts[name]
        if not (np.isfinite(means).all() and means.max() <= np.finfo(np.float32).max):
            return None
        return means.astype(np.float32)
