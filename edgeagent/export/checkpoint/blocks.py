"""Unpacking ggml blocks with numpy, a slice of rows at a time.

Block layouts: `ggml-common.h` and `ggml-quants.c` of ggml. All numbers are little-endian; in every
4-bit field the low nibbles hold the first half of the weights and the high nibbles the second.
Memory is a small multiple of the slice that is given; nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.types import BlockType

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Quants = npt.NDArray[np.uint8] | npt.NDArray[np.int8]


@dataclass(frozen=True)
class UnpackedBlocks:
    """Quantized rows taken apart: `weight = scale * quant + offset` for each block.

    K-quants are given at the granularity of their sub-blocks, where scale and offset are already
    the products of the super-block's factors with the sub-block's.

    Attributes:
        quants: `(rows, blocks, block_len)`. Signed (int8) where the format is symmetric:
            Q4_0 -8..7, Q5_0 -16..15, Q8_0 -128..127, Q6_K -32..31. Unsigned (uint8) where it has
            an offset: Q4_1 and Q4_K 0..15, Q5_1 and Q5_K 0..31.
        scale: `(rows, blocks)` float32.
        offset: `(rows, blocks)` float32, None for the symmetric formats.
        bits: bits of one quant in the file.
    """

    quants: Quants
    scale: Floats
    offset: Floats | None
    bits: int

    @property
    def block_len(self) -> int:
        """Weights that share one scale."""
        return int(self.quants.shape[-1])

    def to_float(self) -> Floats:
        """The weights as `(rows, in_features)` float32, as ggml computes them."""
        weights = self.quants.astype(np.float32)
        weights *= self.scale[..., None]
        if self.offset is not None:
            weights += self.offset[..., None]
        return weights.reshape(weights.shape[0], -1)


def unpack(
    raw: Bytes, kind: BlockType, in_features: int, *, source: str = "a tensor"
) -> UnpackedBlocks:
    """Take quantized rows apart.

    Args:
        raw: `(rows, row_bytes)` as stored; any slice of rows of `GGUFFile.raw`.
        kind: how the rows are stored.
        in_features: weights in one row.
        source: what to call the tensor in an error.

    Raises:
        UnsupportedError: the type cannot be unpacked.
        DamagedFileError: rows of another length, or a scale that is not a finite number.
    """
    if kind not in _UNPACKERS:
        raise UnsupportedError(
            f"{source} is stored as {kind}, which is not supported; use a checkpoint stored as one"
            f" of {', '.join(kind.name for kind in (*_FLOATS, *_UNPACKERS))}."
        )
    _check_rows(raw, kind, in_features, source)
    blocks = raw.reshape(raw.shape[0], in_features // kind.block_len, kind.block_bytes)
    with np.errstate(invalid="ignore"):  # infinity times zero in a damaged block: found below
        unpacked = _UNPACKERS[kind](blocks)
    finite = np.isfinite(unpacked.scale).all()
    if unpacked.offset is not None:
        finite = finite and np.isfinite(unpacked.offset).all()
    if not finite:
        raise DamagedFileError(f"{source} holds a block scale that is not a finite number.")
    return unpacked


def dequantize(
    raw: Bytes, kind: BlockType, in_features: int, *, source: str = "a tensor"
) -> Floats:
    """Rows as `(rows, in_features)` float32; every type of `unpack` and F32, F16 and BF16.

    Args:
        raw: `(rows, row_bytes)` as stored.
        kind: how the rows are stored.
        in_features: weights in one row.
        source: what to call the tensor in an error.

    Raises:
        UnsupportedError: the type cannot be unpacked.
        DamagedFileError: rows of another length, or a value that is not a finite number.
    """
    if kind not in _FLOATS:
        return unpack(raw, kind, in_features, source=source).to_float()
    _check_rows(raw, kind, in_features, source)
    weights = _FLOATS[kind](raw)
    if not np.isfinite(weights).all():
        raise DamagedFileError(f"{source} holds a weight that is not a finite number.")
    return weights


def _check_rows(raw: Bytes, kind: BlockType, in_features: int, source: str) -> None:
    whole = in_features > 0 and in_features % kind.block_len == 0
    if raw.ndim != 2 or not whole or raw.shape[1] != kind.row_bytes(in_features):
        raise DamagedFileError(
            f"{source} does not consist of rows of {in_features} weights stored as {kind}."
        )


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 at byte `at` of every block as float32: `(rows, blocks)`."""
    pair = np.ascontiguousarray(blocks[..., at : at + 2])
    return pair.view("<f2")[..., 0].astype(np.float32)


def _nibbles(packed: Bytes) -> Bytes:
    """`(…, n)` bytes to `(…, 2 n)` values: all low nibbles, then all high ones."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=-1)


def _fifth_bits(blocks: Bytes, at: int) -> Bytes:
    """The 32 high bits of Q5_0 and Q5_1 as values 0 or 16: `(rows, blocks, 32)`."""
    bits = np.unpackbits(blocks[..., at : at + 4], axis=-1, bitorder="little")
    return bits << np.uint8(4)


def _signed(quants: Bytes, zero_point: int) -> npt.NDArray[np.int8]:
    return quants.view(np.int8) - np.int8(zero_point)


def _q4_0(blocks: Bytes) -> UnpackedBlocks:
    return UnpackedBlocks(_signed(_nibbles(blocks[..., 2:]), 8), _half(blocks, 0), None, bits=4)


def _q4_1(blocks: Bytes) -> UnpackedBlocks:
    return UnpackedBlocks(_nibbles(blocks[..., 4:]), _half(blocks, 0), _half(blocks, 2), bits=4)


def _q5_0(blocks: Bytes) -> UnpackedBlocks:
    quants = _nibbles(blocks[..., 6:]) | _fifth_bits(blocks, 2)
    return UnpackedBlocks(_signed(quants, 16), _half(blocks, 0), None, bits=5)


def _q5_1(blocks: Bytes) -> UnpackedBlocks:
    quants = _nibbles(blocks[..., 8:]) | _fifth_bits(blocks, 4)
    return UnpackedBlocks(quants, _half(blocks, 0), _half(blocks, 2), bits=5)


def _q8_0(blocks: Bytes) -> UnpackedBlocks:
    quants = np.ascontiguousarray(blocks[..., 2:]).view(np.int8)
    return UnpackedBlocks(quants, _half(blocks, 0), None, bits=8)


def _k_scales(blocks: Bytes) -> tuple[Floats, Floats]:
    """Scale and offset of the eight sub-blocks of Q4_K and Q5_K: `(rows, 8 · blocks)` each.

    Bytes 4..15 pack eight 6-bit scales and eight 6-bit minima: four of each in the low six bits
    of bytes 4..7 and 8..11; the others have their low nibbles in bytes 12..15 and their two high
    bits on top of bytes 4..7 and 8..11.
    """
    low, high, rest = blocks[..., 4:8], blocks[..., 8:12], blocks[..., 12:16]
    scales = np.concatenate([low & 0x3F, (rest & 0x0F) | ((low >> 2) & 0x30)], axis=-1)
    minima = np.concatenate([high & 0x3F, (rest >> 4) | ((high >> 2) & 0x30)], axis=-1)
    rows = blocks.shape[0]
    scale = _half(blocks, 0)[..., None] * scales.astype(np.float32)
    offset = -(_half(blocks, 2)[..., None] * minima.astype(np.float32))
    return scale.reshape(rows, -1), offset.reshape(rows, -1)


def _k_nibbles(packed: Bytes) -> Bytes:
    """128 bytes of a super-block as `(rows, blocks, 8, 32)`; 32 bytes hold two sub-blocks."""
    rows, blocks, _ = packed.shape
    return _nibbles(packed.reshape(rows, blocks, 4, 32)).reshape(rows, blocks, 8, 32)


def _q4_k(blocks: Bytes) -> UnpackedBlocks:
    quants = _k_nibbles(blocks[..., 16:]).reshape(blocks.shape[0], -1, 32)
    return UnpackedBlocks(quants, *_k_scales(blocks), bits=4)


def _q5_k(blocks: Bytes) -> UnpackedBlocks:
    # Bit i of the 32 high-bit bytes belongs to sub-block i.
    shifts = np.arange(8, dtype=np.uint8)[:, None]
    high = (blocks[..., None, 16:48] >> shifts) & 1
    quants = _k_nibbles(blocks[..., 48:]) | (high << np.uint8(4))
    return UnpackedBlocks(quants.reshape(blocks.shape[0], -1, 32), *_k_scales(blocks), bits=5)


def _q6_k(blocks: Bytes) -> UnpackedBlocks:
    """Layout: 128 bytes of low nibbles, 64 of high bit pairs, 16 int8 scales, a float16 factor."""
    rows, count, _ = blocks.shape
    low = _nibbles(blocks[..., :128].reshape(rows, count, 2, 64)).reshape(rows, count, 2, 4, 32)
    pairs = blocks[..., 128:192].reshape(rows, count, 2, 1, 32)
    shifts: Bytes = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    quants: Bytes = low | (((pairs >> shifts) & np.uint8(3)) << np.uint8(4))
    scales = np.ascontiguousarray(blocks[..., 192:208]).view(np.int8).astype(np.float32)
    scale = (_half(blocks, 208)[..., None] * scales).reshape(rows, -1)
    return UnpackedBlocks(_signed(quants, 32).reshape(rows, -1, 16), scale, None, bits=6)


def _bf16(raw: Bytes) -> Floats:
    halves = np.ascontiguousarray(raw).view("<u2").astype(np.uint32)
    return (halves << np.uint32(16)).view(np.float32)


_UNPACKERS: dict[BlockType, Callable[[Bytes], UnpackedBlocks]] = {
    BlockType.Q4_0: _q4_0,
    BlockType.Q4_1: _q4_1,
    BlockType.Q5_0: _q5_0,
    BlockType.Q5_1: _q5_1,
    BlockType.Q8_0: _q8_0,
    BlockType.Q4_K: _q4_k,
    BlockType.Q5_K: _q5_k,
    BlockType.Q6_K: _q6_k,
}

_FLOATS: dict[BlockType, Callable[[Bytes], Floats]] = {
    BlockType.F32: lambda raw: np.ascontiguousarray(raw).view("<f4").astype(np.float32),
    BlockType.F16: lambda raw: np.ascontiguousarray(raw).view("<f2").astype(np.float32),
    BlockType.BF16: _bf16,
}

UNPACKABLE: frozenset[BlockType] = frozenset(_UNPACKERS)
"""The quantized types that `unpack` takes apart."""
