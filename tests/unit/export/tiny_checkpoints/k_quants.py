"""Encoders of the K-quants, which the `gguf` package can only decode.

Layouts are those of `block_q4_K`, `block_q5_K` and `block_q6_K` in ggml; scales are the plain
ranges of each sub-block, without llama.cpp's search for better ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def _q4_k(values: Floats) -> Bytes:
    head, codes = _with_minima(values, levels=15)
    low = codes.reshape(*codes.shape[:2], 4, 2, 32)
    packed = low[..., 0, :] | low[..., 1, :] << 4
    return _rows(values, head, packed)


def _q5_k(values: Floats) -> Bytes:
    head, codes = _with_minima(values, levels=31)
    low = (codes & 15).reshape(*codes.shape[:2], 4, 2, 32)
    packed = low[..., 0, :] | low[..., 1, :] << 4
    shifts = np.arange(8, dtype=np.uint8)[:, None]
    high = np.bitwise_or.reduce(codes >> 4 << shifts, axis=2)  # bit i: sub-block i
    return _rows(values, head, high, packed)


def _q6_k(values: Floats) -> Bytes:
    blocks = values.reshape(values.shape[0], -1, 16, 16)
    scales = np.abs(blocks).max(axis=-1) / 31.0
    factor = _half(scales.max(axis=-1) / 127.0)
    steps = np.where(factor[..., None] > 0, scales / _divisor(factor)[..., None], 0.0)
    steps = np.clip(np.ceil(steps), 0, 127)
    unit = (factor[..., None] * steps)[..., None]
    codes = np.clip(np.rint(blocks / _divisor(unit)), -32, 31).astype(np.int8) + 32
    # Each half of 128 weights holds four runs of 32.
    runs = codes.astype(np.uint8).reshape(*codes.shape[:2], 2, 4, 32)
    low = np.stack(
        [runs[..., at, :] & 15 | (runs[..., at + 2, :] & 15) << 4 for at in (0, 1)], axis=-2
    )
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    high = np.bitwise_or.reduce(runs >> 4 << shifts, axis=-2)
    return _rows(values, low, high, steps.astype(np.int8).view(np.uint8), _half_bytes(factor))


def _with_minima(values: Floats, levels: int) -> tuple[Bytes, Bytes]:
    """The 16 bytes of scales and minima, and the codes `(rows, blocks, 8, 32)`."""
    blocks = values.reshape(values.shape[0], -1, 8, 32)
    minima = np.maximum(-blocks.min(axis=-1), 0.0)
    scales = (blocks.max(axis=-1) + minima) / levels
    factor, offset = _half(scales.max(axis=-1) / 63.0), _half(minima.max(axis=-1) / 63.0)
    steps = np.clip(np.ceil(scales / _divisor(factor)[..., None]), 0, 63).astype(np.uint8)
    lows = np.clip(np.rint(minima / _divisor(offset)[..., None]), 0, 63).astype(np.uint8)
    unit = (factor[..., None] * steps)[..., None]
    shifted = blocks + (offset[..., None] * lows)[..., None]
    codes = np.clip(np.rint(shifted / _divisor(unit)), 0, levels).astype(np.uint8)
    # Six bits each: the first four whole with the high bits of the last four above them.
    packed = np.concatenate(
        [
            steps[..., :4] | steps[..., 4:] >> 4 << 6,
            lows[..., :4] | lows[..., 4:] >> 4 << 6,
            steps[..., 4:] & 15 | (lows[..., 4:] & 15) << 4,
        ],
        axis=-1,
    )
    return np.concatenate([_half_bytes(factor), _half_bytes(offset), packed], axis=-1), codes


def _half(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float32)


def _half_bytes(values: Floats) -> Bytes:
    return values.astype("<f2")[..., None].view(np.uint8)


def _divisor(values: Floats) -> Floats:
    return np.where(values > 0, values, np.float32(1.0))


def _rows(values: Floats, *parts: Bytes) -> Bytes:
    """Parts of blocks `(rows, blocks, ...)` side by side, as stored rows."""
    rows = values.shape[0]
    blocks = values.shape[1] // 256
    joined = np.concatenate([part.reshape(rows, blocks, -1) for part in parts], axis=-1)
    return np.ascontiguousarray(joined, dtype=np.uint8).reshape(rows, -1)


K_QUANTS: Mapping[GGMLQuantizationType, Callable[[Floats], Bytes]] = MappingProxyType(
    {
        GGMLQuantizationType.Q4_K: _q4_k,
        GGMLQuantizationType.Q5_K: _q5_k,
        GGMLQuantizationType.Q6_K: _q6_k,
    }
)
"""From `(rows, in_features)` to `(rows, stored bytes)`."""
