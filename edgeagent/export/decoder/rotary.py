"""Frequencies of rotary position embeddings and the ways in which models stretch them.

Formulas: "YaRN" (arXiv 2309.00071), "LongRoPE" (arXiv 2402.13753), and what transformers'
`modeling_rope_utils.py` makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeagent.export.decoder.spec import Rotary

Doubles = npt.NDArray[np.float64]


def inverse_frequencies(base: float, rotated: int) -> Doubles:
    """Radians per position of each pair, `(rotated / 2,)`.

    Args:
        base: Of the geometric series (`rope_theta`).
        rotated: How many values of a head are rotated.
    """
    return base ** -(np.arange(0, rotated, 2, dtype=np.float64) / rotated)


def rotary(frequencies: Doubles, magnitude: float = 1.0) -> Rotary:
    """A rotary embedding with these frequencies."""
    return Rotary(tuple(frequencies.tolist()), magnitude)


def llama3_divisors(
    frequencies: Doubles,
    *,
    factor: float,
    low_frequency_factor: float,
    high_frequency_factor: float,
    original_context_len: int,
) -> Doubles:
    """Divisors of Llama 3.1's scaling: slow pairs are stretched, fast ones are left alone.

    Args:
        frequencies: `(rotated / 2,)`.
        factor: How far the slow pairs are stretched.
        low_frequency_factor: Turns within the original context up to which a pair is slow.
        high_frequency_factor: Turns from which a pair is fast.
        original_context_len: Context of the first training, tokens.
    """
    turns = original_context_len * frequencies / (2 * math.pi)
    smooth = (turns - low_frequency_factor) / (high_frequency_factor - low_frequency_factor)
    smooth = np.clip(smooth, 0.0, 1.0)
    divisors: Doubles = 1 / ((1 - smooth) / factor + smooth)
    return divisors


def yarn(
    base: float,
    rotated: int,
    *,
    factor: float,
    original_context_len: int,
    fast_turns: float = 32.0,
    slow_turns: float = 1.0,
    magnitude: float | None = None,
) -> Rotary:
    """YaRN: pairs that turn slowly are stretched, those that turn fast are left alone.

    Args:
        base: Of the geometric series.
        rotated: How many values of a head are rotated.
        factor: How far slow pairs are stretched.
        original_context_len: Context of the first training, tokens.
        fast_turns: Turns within that context from which a pair is fast (`beta_fast`).
        slow_turns: Turns up to which a pair is slow (`beta_slow`).
        magnitude: Factor on cosine and sine, `None` for YaRN's own.
    """
    first, last = (
        rotated * math.log(original_context_len / (turns * 2 * math.pi)) / (2 * math.log(base))
        for turns in (fast_turns, slow_turns)
    )
    low, high = max(math.floor(first), 0), min(math.ceil(last), rotated - 1)
    slow = np.clip((np.arange(rotated // 2) - low) / max(high - low, 1e-3), 0.0, 1.0)
    frequencies = inverse_frequencies(base, rotated) * (slow / factor + 1 - slow)
    if magnitude is None:
        magnitude = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
    return rotary(frequencies, magnitude)


def longrope_magnitude(context_len: int, original_context_len: int) -> float:
    """Factor on cosine and sine of a model that was stretched to `context_len` by LongRoPE."""
    if context_len <= original_context_len:
        return 1.0
    stretch = context_len / original_context_len
    return math.sqrt(1 + math.log(stretch) / math.log(original_context_len))


def longrope(
    base: float,
    rotated: int,
    factors: Sequence[float],
    magnitude: float,
) -> Rotary:
    """LongRoPE: every frequency is divided by a factor of its own.

    Args:
        base: Of the geometric series.
        rotated: How many values of a head are rotated.
        factors: `(rotated / 2,)`, the short or the long ones.
        magnitude: See `longrope_magnitude`.
    """
    return rotary(inverse_frequencies(base, rotated) / np.array(factors), magnitude)
