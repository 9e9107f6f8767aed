"""Packing rows of a matrix: ggml blocks in, operator operands out, bit for bit where possible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeagent.export.checkpoint.blocks import UnpackedBlocks, dequantize, unpack
from edgeagent.export.checkpoint.types import BlockType
from edgeagent.export.pack.storage import Storage

_INT8_MAX = 127


@dataclass(frozen=True)
class PackedRows:
    """A slice of rows in the layout of `MatMulNBits`.

    Attributes:
        quants: `(rows, blocks, block_len · bits / 8)` uint8, low nibble first.
        scales: `(rows, blocks)` float32.
        corrections: `(rows, blocks)` float32, `None` where the storage has none.
    """

    quants: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    corrections: npt.NDArray[np.float32] | None


def pack_rows(
    raw: npt.NDArray[np.uint8],
    kind: BlockType,
    in_features: int,
    storage: Storage,
    *,
    source: str = "a tensor",
) -> PackedRows:
    """Pack rows as they lie in the file.

    Args:
        raw: `(rows, row_bytes)`.
        kind: Their block type.
        in_features: Weights in one row.
        storage: `storage_of(kind)`.
        source: What to call the tensor in an error.

    Raises:
        DamagedFileError: A scale or weight is not a finite number.
    """
    if kind.is_float:
        blocks = _round_to_int8(dequantize(raw, kind, in_features, source=source), storage)
    else:
        blocks = unpack(raw, kind, in_features, source=source)
    zero_point = 1 << (storage.bits - 1)
    if blocks.offset is None:
        # Wraps around in 8 bits, which is exactly the shift by the zero point.
        quants = blocks.quants.view(np.uint8) + np.uint8(zero_point)
        return PackedRows(_pack_bits(quants, storage.bits), blocks.scale, None)
    # Quants are centred before they are stored: the operator rounds activations to 8 bits, and
    # that error is multiplied by the stored quant, while the correction is added exactly.
    centre = 1 << (blocks.bits - 1)
    quants = blocks.quants.view(np.uint8) + np.uint8(zero_point - centre)
    corrections = blocks.offset + np.float32(centre) * blocks.scale
    return PackedRows(_pack_bits(quants, storage.bits), blocks.scale, corrections)


def _round_to_int8(weights: npt.NDArray[np.float32], storage: Storage) -> UnpackedBlocks:
    blocks = weights.reshape(weights.shape[0], -1, storage.block_len)
    scale = np.abs(blocks).max(axis=-1) / np.float32(_INT8_MAX)
    divisor = np.where(scale > 0, scale, np.float32(1))
    # Clipped because a scale near the smallest float32 is itself rounded.
    quants = np.rint(blocks / divisor[..., None]).clip(-_INT8_MAX, _INT8_MAX).astype(np.int8)
    return UnpackedBlocks(quants, scale, None, bits=8)


def _pack_bits(quants: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    if bits == 8:
        return quants
    nibbles = quants & np.uint8(0x0F)
    packed: npt.NDArray[np.uint8] = nibbles[..., 0::2] | (nibbles[..., 1::2] << np.uint8(4))
    return packed
