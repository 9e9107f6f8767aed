"""Packed rows, unpacked again by the operators' formula, against the `gguf` library."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize
from tiny_models import random_blocks

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.types import BLOCK_TYPES, BlockType
from edgeagent.export.pack.rows import PackedRows, pack_rows
from edgeagent.export.pack.storage import Storage, exact_storage, require_storable

_INT8 = Storage(8, 32)
_QUANTIZED = [
    *(Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0),
    *(Kind.Q4_K, Kind.Q5_K, Kind.Q6_K),
]


def _exact(kind: BlockType) -> Storage:
    storage = exact_storage(kind)
    assert storage is not None
    return storage


def _weights(packed: PackedRows, storage: Storage) -> np.ndarray:
    """What `MatMulNBits` and the correction compute with."""
    quants = packed.quants
    if storage.bits == 4:
        quants = np.stack([quants & 15, quants >> 4], axis=-1).reshape(*quants.shape[:2], -1)
    zero_point = 1 << (storage.bits - 1)
    weights = (quants.astype(np.float64) - zero_point) * packed.scales[..., None]
    if packed.corrections is not None:
        weights += packed.corrections[..., None]
    return weights.reshape(len(weights), -1)


@pytest.mark.parametrize("kind", _QUANTIZED, ids=lambda kind: kind.name)
def test_weights_equal_the_dequantized_source(kind: Kind) -> None:
    raw = random_blocks(kind, (24, 512), np.random.default_rng(3))
    block_type = BLOCK_TYPES[kind.value]
    storage = _exact(block_type)
    assert storage.exact
    packed = pack_rows(raw, block_type, 512, storage)
    assert packed.quants.shape == (
        24,
        512 // storage.block_len,
        storage.block_len * storage.bits // 8,
    )
    assert (packed.corrections is not None) == storage.corrected
    expected = dequantize(raw, kind)
    # The library rounds d·q + m once in float32; the factors themselves are exact.
    np.testing.assert_allclose(_weights(packed, storage), expected, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e-44, 0.0])
def test_rounding_of_floats_is_within_half_a_step(scale: float) -> None:
    weights = (np.random.default_rng(5).standard_normal((4, 64)) * scale).astype(np.float32)
    packed = pack_rows(weights.view(np.uint8), BlockType.F32, 64, _INT8)
    step = np.repeat(np.abs(packed.scales), 32, axis=1)
    # The search for a scale may cut the largest weights of a block off, by less than a step.
    cut_off = np.isin(packed.quants.reshape(4, 64), (0, 255))
    tolerance = np.where(cut_off, 1.0, 0.5001) * step + 1e-44 * 200
    assert (np.abs(_weights(packed, _INT8) - weights) <= tolerance).all()


def test_a_scale_that_is_not_a_number_is_refused() -> None:
    raw = random_blocks(Kind.Q4_1, (2, 64), np.random.default_rng(1))
    raw[1, :2] = np.array([np.inf], "<f2").view(np.uint8)
    with pytest.raises(DamagedFileError, match=r"blk\.0\.x"):
        pack_rows(raw, BlockType.Q4_1, 64, _exact(BlockType.Q4_1), source="blk.0.x")


def test_unsupported_types_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"tensor x .*IQ4_NL.*use a file with weights in"):
        require_storable(BlockType.IQ4_NL, source="tensor x")


@pytest.mark.parametrize("kind", [BlockType.F32, BlockType.F16, BlockType.BF16])
def test_weights_that_are_not_in_blocks_have_no_exact_storage(kind: BlockType) -> None:
    require_storable(kind, source="tensor x")
    assert exact_storage(kind) is None


@pytest.mark.parametrize("bits", [16, 32])
def test_floats_are_stored_one_by_one(bits: int) -> None:
    weights = np.random.default_rng(5).standard_normal((4, 64)).astype(np.float16)
    packed = pack_rows(weights.view(np.uint8), BlockType.F16, 64, Storage(bits))
    assert packed.quants.dtype == (np.float16 if bits == 16 else np.float32)
    assert np.array_equal(packed.quants, weights)
    assert packed.scales is None
