"""Rotary position embedding: the cosine and sine tables, and the order of Q and K rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeagent.export.shape import DecoderShape

Floats = npt.NDArray[np.float32]


def rotary_tables(
    shape: DecoderShape, factors: Floats | None, positions: range
) -> tuple[Floats, Floats]:
    """Cosine and sine for some positions, `(positions, head_dim / 2)` float32 each.

    Args:
        shape: Of the decoder.
        factors: `(head_dim / 2,)` divisors of the frequencies (`rope_freqs.weight`, Llama 3), or
            `None`.
        positions: Which positions.
    """
    exponents = np.arange(0, shape.head_dim, 2, dtype=np.float64) / shape.head_dim
    frequencies = shape.rope_base**-exponents / shape.rope_scale
    if factors is not None:
        frequencies = frequencies / factors.astype(np.float64)
    angles = np.array(positions, dtype=np.float64)[:, None] * frequencies[None, :]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def half_split_order(heads: int, head_dim: int) -> npt.NDArray[np.intp]:
    """Row indices that turn neighbouring rotary pairs into halves of a head.

    Row `2 i` of a head goes to `i` and row `2 i + 1` to `head_dim / 2 + i`; rows are moved whole,
    so their blocks stay as they are.
    """
    rows = np.arange(heads * head_dim).reshape(heads, head_dim // 2, 2)
    order: npt.NDArray[np.intp] = rows.transpose(0, 2, 1).reshape(-1)
    return order
