from __future__ import annotations

from pathlib import Path

import gguf as oracle
import numpy as np
import pytest

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.blocks import UNPACKABLE, dequantize, unpack
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.checkpoint.types import BLOCK_TYPES, BlockType

QUANTIZED = sorted(UNPACKABLE, key=lambda kind: kind.ggml_id)
FLOATS = [BlockType.F32, BlockType.F16, BlockType.BF16]
SCALE_OFFSETS = {  # bytes of each block where a float16 lies
    BlockType.Q4_0: (0,),
    BlockType.Q4_1: (0, 2),
    BlockType.Q5_0: (0,),
    BlockType.Q5_1: (0, 2),
    BlockType.Q8_0: (0,),
    BlockType.Q4_K: (0, 2),
    BlockType.Q5_K: (0, 2),
    BlockType.Q6_K: (208,),
}
QUANT_RANGE = {
    BlockType.Q4_0: (-8, 7, 4),
    BlockType.Q4_1: (0, 15, 4),
    BlockType.Q5_0: (-16, 15, 5),
    BlockType.Q5_1: (0, 31, 5),
    BlockType.Q8_0: (-128, 127, 8),
    BlockType.Q4_K: (0, 15, 4),
    BlockType.Q5_K: (0, 31, 5),
    BlockType.Q6_K: (-32, 31, 6),
}


def random_rows(kind: BlockType, rows: int, blocks: int) -> np.ndarray:
    """Random bytes of whole blocks whose scales are finite numbers of either sign."""
    rng = np.random.default_rng(kind.ggml_id)
    raw = rng.integers(0, 256, (rows, blocks, kind.block_bytes), dtype=np.uint8)
    for at in SCALE_OFFSETS[kind]:
        scales = rng.normal(0, 0.1, (rows, blocks, 1)).astype("<f2")
        raw[..., at : at + 2] = scales.view(np.uint8)
    return raw.reshape(rows, -1)


def expected(raw: np.ndarray, kind: BlockType) -> np.ndarray:
    type_id = oracle.GGMLQuantizationType(kind.ggml_id)
    return oracle.quants.dequantize(np.ascontiguousarray(raw), type_id)


@pytest.mark.parametrize("kind", BLOCK_TYPES.values(), ids=lambda kind: kind.name)
def test_sizes_are_those_of_ggml(kind: BlockType) -> None:
    type_id = oracle.GGMLQuantizationType(kind.ggml_id)
    assert type_id.name == kind.name
    assert oracle.GGML_QUANT_SIZES[type_id] == (kind.block_len, kind.block_bytes)


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_random_blocks_are_bit_equal_to_the_reference(kind: BlockType) -> None:
    raw = random_rows(kind, rows=37, blocks=5)
    weights = dequantize(raw, kind, 5 * kind.block_len)
    assert weights.dtype == np.float32
    assert weights.shape == (37, 5 * kind.block_len)
    assert weights.tobytes() == expected(raw, kind).tobytes()


@pytest.mark.parametrize("kind", FLOATS, ids=lambda kind: kind.name)
def test_floats_are_bit_equal_to_the_reference(kind: BlockType) -> None:
    values = np.random.default_rng(1).normal(0, 1, (5, 12)).astype(np.float32)
    raw = oracle.quants.quantize(values, oracle.GGMLQuantizationType(kind.ggml_id)).view(np.uint8)
    weights = dequantize(raw, kind, 12)
    assert weights.tobytes() == expected(raw, kind).tobytes()


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_quants_cover_their_range_and_give_the_weights(kind: BlockType) -> None:
    raw = random_rows(kind, rows=64, blocks=4)
    unpacked = unpack(raw, kind, 4 * kind.block_len)
    low, high, bits = QUANT_RANGE[kind]
    assert (unpacked.quants.min(), unpacked.quants.max(), unpacked.bits) == (low, high, bits)
    assert unpacked.quants.dtype == (np.int8 if low < 0 else np.uint8)
    assert unpacked.block_len == (16 if kind is BlockType.Q6_K else 32)
    assert unpacked.scale.shape == unpacked.quants.shape[:2]
    assert (unpacked.offset is None) == (low < 0)
    weights = unpacked.scale[..., None].astype(np.float64) * unpacked.quants
    if unpacked.offset is not None:
        weights += unpacked.offset[..., None]
    reference = expected(raw, kind).reshape(weights.shape)
    np.testing.assert_allclose(weights, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_a_slice_of_rows_gives_that_slice(kind: BlockType) -> None:
    raw = random_rows(kind, rows=8, blocks=2)
    whole = dequantize(raw, kind, 2 * kind.block_len)
    assert np.array_equal(dequantize(raw[3:6], kind, 2 * kind.block_len), whole[3:6])


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("bits", [0x7C00, 0xFC00, 0x7E00], ids=["inf", "-inf", "nan"])
def test_scales_that_are_not_finite_are_refused(kind: BlockType, bits: int) -> None:
    for at in SCALE_OFFSETS[kind]:
        raw = random_rows(kind, rows=2, blocks=2)
        raw[1, at : at + 2] = np.array([bits], dtype="<u2").view(np.uint8)
        with pytest.raises(DamagedFileError, match="lm_head holds a block scale"):
            unpack(raw, kind, 2 * kind.block_len, source="lm_head")


def test_floats_that_are_not_finite_are_refused() -> None:
    raw = np.array([[1.0, np.inf]], dtype="<f4").view(np.uint8)
    with pytest.raises(DamagedFileError, match="norm holds a weight"):
        dequantize(raw, BlockType.F32, 2, source="norm")


def test_unsupported_types_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"blk\.0 is stored as IQ2_XS \(type 17\)"):
        dequantize(np.zeros((1, 74), np.uint8), BlockType.IQ2_XS, 256, source="blk.0")
    with pytest.raises(UnsupportedError, match="Q4_0, Q4_1"):
        unpack(np.zeros((1, 4), np.uint8), BlockType.F32, 1)


@pytest.mark.parametrize(("row_bytes", "in_features"), [(33, 32), (34, 16), (34, 64), (34, 0)])
def test_rows_of_another_length_are_refused(row_bytes: int, in_features: int) -> None:
    with pytest.raises(DamagedFileError, match="does not consist of rows"):
        unpack(np.zeros((1, row_bytes), np.uint8), BlockType.Q8_0, in_features)


def test_real_tensors_are_bit_equal_to_the_reference(smollm2_gguf: Path) -> None:
    names = (
        "token_embd.weight",
        "blk.0.attn_q.weight",
        "blk.29.ffn_down.weight",
        "output_norm.weight",
    )
    with GGUFFile.open(smollm2_gguf) as gguf:
        for name in names:
            tensor = gguf.tensors[name]
            raw = gguf.raw(name)[:2048]
            weights = dequantize(raw, tensor.type, tensor.in_features, source=name)
            assert weights.tobytes() == expected(raw, tensor.type).tobytes()
