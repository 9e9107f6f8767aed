"""How each ggml block type is stored in a package: the one place that decides precision."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.errors import UnsupportedError
from edgeagent.export.checkpoint.types import BlockType

CORRECTION_BLOCK = 32
"""Weights that share one correction; corrected formats all have blocks of 32."""


@dataclass(frozen=True)
class Storage:
    """Storage of one matrix as operands of `MatMulNBits` or `GatherBlockQuantized`.

    The operators compute `scale · (quant − 2^(bits−1))`. A format with an offset per block needs
    `+ correction · Σ x` over the block as well, which the graph adds in floating point.

    Attributes:
        bits: 4 or 8 bits a weight.
        block_len: Weights that share one scale.
        corrected: Whether a correction per block is stored.
        exact: Whether every stored weight equals the dequantized weight of the source.
    """

    bits: int
    block_len: int
    corrected: bool
    exact: bool

    @property
    def label(self) -> str:
        """The storage in words, for the manifest."""
        words = f"int{self.bits} block {self.block_len}"
        return f"{words} + correction" if self.corrected else words

    def quant_bytes(self, rows: int, in_features: int) -> int:
        """Bytes of the packed quants of a matrix."""
        return rows * in_features * self.bits // 8

    def total_bytes(self, rows: int, in_features: int) -> int:
        """Bytes of a matrix: quants, float32 scales and float32 corrections."""
        blocks = rows * (in_features // self.block_len)
        return self.quant_bytes(rows, in_features) + 4 * blocks * (2 if self.corrected else 1)


_INT4 = Storage(bits=4, block_len=32, corrected=False, exact=True)
_INT4_CORRECTED = Storage(bits=4, block_len=32, corrected=True, exact=True)
_INT8 = Storage(bits=8, block_len=32, corrected=False, exact=True)
_INT8_CORRECTED = Storage(bits=8, block_len=32, corrected=True, exact=True)
# Q6_K scales blocks of 16. Keeping them costs a fifth of the speed of this operator at batch 1
# (41 against 34 µs for 576 x 1536); merging two blocks would round every other weight again.
_INT8_FINE = Storage(bits=8, block_len=16, corrected=False, exact=True)
# Floating-point matrices are rounded to 8 bits per block of 32, like ggml's Q8_0 but with float32
# scales: relative error below 2^-8 of the largest weight of a block.
_INT8_ROUNDED = Storage(bits=8, block_len=32, corrected=False, exact=False)

_STORAGE = {
    BlockType.Q4_0: _INT4,
    BlockType.Q4_1: _INT4_CORRECTED,
    BlockType.Q4_K: _INT4_CORRECTED,
    BlockType.Q5_0: _INT8,
    BlockType.Q5_1: _INT8_CORRECTED,
    BlockType.Q5_K: _INT8_CORRECTED,
    BlockType.Q6_K: _INT8_FINE,
    BlockType.Q8_0: _INT8,
    BlockType.F32: _INT8_ROUNDED,
    BlockType.F16: _INT8_ROUNDED,
    BlockType.BF16: _INT8_ROUNDED,
}


def storage_of(kind: BlockType, *, source: str) -> Storage:
    """Return the storage of a block type; `source` names the tensor in the error.

    Raises:
        UnsupportedError: The type has no storage.
    """
    if kind not in _STORAGE:
        supported = ", ".join(sorted(known.name for known in _STORAGE))
        raise UnsupportedError(
            f"{source} is stored as {kind}, which is not supported; use a file quantized as one"
            f" of {supported}."
        )
    return _STORAGE[kind]
