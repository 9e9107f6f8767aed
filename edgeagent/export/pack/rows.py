"""Packing rows of a matrix: a source's rows in, operands out, bit for bit where possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.export.checkpoint.blocks import dequantize, unpack
from edgeagent.export.checkpoint.types import BlockType
from edgeagent.export.pack.storage import Storage, exact_storage, halved
from edgeagent.export.quantize import quantize_rows

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PackedRows:
    """A slice of rows in the layout of `MatMulNBits`.

    Attributes:
        quants: `(rows, blocks, block_len · bits / 8)` uint8, low nibble first; `(rows, in)` of
            numbers where the storage is not quantized.
        scales: `(rows, blocks)` float32, `None` where the storage is not quantized.
        zero_points: `(rows, bytes)` uint8 packed like quants, `None` where there are none.
        corrections: `(rows, blocks)` float32, `None` where there are none.
    """

    quants: npt.NDArray[Any]
    scales: Floats | None = None
    zero_points: npt.NDArray[np.uint8] | None = None
    corrections: Floats | None = None


def pack_rows(
    raw: npt.NDArray[np.uint8],
    kind: BlockType,
    in_features: int,
    storage: Storage,
    *,
    importance: Floats | None = None,
    source: str = "a tensor",
) -> PackedRows:
    """Pack rows as they lie in the file.

    Args:
        raw: `(rows, row_bytes)`.
        kind: Their block type.
        in_features: Weights in one row.
        storage: How they are stored; blocks are kept if it is `exact_storage(kind)`, or that with
            float16 scales, which are rounded when they are written.
        importance: `(in_features,)`, how much an error in each column counts, `None` for alike.
        source: What to call the tensor in an error.

    Raises:
        DamagedFileError: A scale or weight is not a finite number.
    """
    exact = exact_storage(kind)
    if exact is not None and storage in {exact, halved(exact, kind)}:
        return _keep(raw, kind, in_features, storage, source)
    weights = dequantize(raw, kind, in_features, source=source)
    if storage.is_float:
        return PackedRows(weights.astype(np.float16 if storage.bits == 16 else np.float32))
    rows = quantize_rows(weights, storage.scheme, importance=importance, source=source)
    zero_points = rows.zero_points
    return PackedRows(
        quants=_pack_bits(rows.quants, storage.bits),
        scales=rows.scales,
        zero_points=None if zero_points is None else pack_zero_points(zero_points, storage.bits),
        corrections=rows.corrections,
    )


def _keep(
    raw: npt.NDArray[np.uint8], kind: BlockType, in_features: int, storage: Storage, source: str
) -> PackedRows:
    blocks = unpack(raw, kind, in_features, source=source)
    zero_point = 1 << (storage.bits - 1)
    if blocks.offset is None:
        # Wraps around in 8 bits, which is exactly the shift by the zero point.
        quants = blocks.quants.view(np.uint8) + np.uint8(zero_point)
        return PackedRows(_pack_bits(quants, storage.bits), blocks.scale)
    # Quants are centred before they are stored: the operator rounds activations to 8 bits, and
    # that error is multiplied by the stored quant, while the correction is added exactly.
    centre = 1 << (blocks.bits - 1)
    quants = blocks.quants.view(np.uint8) + np.uint8(zero_point - centre)
    corrections = blocks.offset + np.float32(centre) * blocks.scale
    return PackedRows(_pack_bits(quants, storage.bits), blocks.scale, corrections=corrections)


def pack_zero_points(zero_points: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Pack `(rows, blocks)` zero points into rows of bytes; an odd row ends in half a byte."""
    if bits == 4 and zero_points.shape[1] % 2:
        zero_points = np.pad(zero_points, ((0, 0), (0, 1)))
    return _pack_bits(zero_points, bits)


def _pack_bits(quants: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    if bits == 8:
        return quants
    nibbles = quants & np.uint8(0x0F)
    packed: npt.NDArray[np.uint8] = nibbles[..., 0::2] | (nibbles[..., 1::2] << np.uint8(4))
    return packed
