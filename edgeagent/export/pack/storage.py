"""How matrices can be stored in a package, and which storage keeps a source's blocks exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeagent.errors import UnsupportedError
from edgeagent.export.checkpoint.types import BlockType
from edgeagent.export.quantize import Offset, Scheme

CORRECTION_BLOCK = 32
"""Weights that share one correction; corrected formats all have blocks of 32."""

_FLOAT_BITS = (16, 32)


@dataclass(frozen=True)
class Storage:
    """Storage of one matrix as operands of the runtime's operators.

    `MatMulNBits` and `GatherBlockQuantized` compute `scale · (quant − zero point)`, where the zero
    point is half the range unless it is stored. A correction per block needs `+ correction · Σ x`
    over the block as well, which the graph adds in floating point.

    Attributes:
        bits: 4 or 8 bits a weight; 16 and 32 mean that it is not quantized.
        block_len: Weights that share one scale; 1 where it is not quantized.
        offset: How blocks that are not centred on zero are shifted.
        half_scales: Whether scales are kept as float16; the runtime widens them while loading.
        exact: Whether every stored weight equals the dequantized weight of the source.
    """

    bits: int
    block_len: int = 1
    offset: Offset = Offset.NONE
    half_scales: bool = False
    exact: bool = False

    @property
    def is_float(self) -> bool:
        """Whether weights are stored one by one as floating-point numbers."""
        return self.bits in _FLOAT_BITS

    @property
    def corrected(self) -> bool:
        """Whether a correction per block is stored."""
        return self.offset is Offset.CORRECTION

    @property
    def has_zero_points(self) -> bool:
        """Whether a zero point per block is stored."""
        return self.offset is Offset.ZERO_POINT

    @property
    def scheme(self) -> Scheme:
        """How weights are rounded to it."""
        return Scheme(self.bits, self.block_len, self.offset, self.half_scales)

    @property
    def label(self) -> str:
        """The storage in words, for the manifest."""
        if self.is_float:
            return f"float{self.bits}"
        words = f"int{self.bits} block {self.block_len}"
        if self.offset is not Offset.NONE:
            words += f" + {self.offset.value.replace('_', ' ')}"
        return f"{words}, float16 scales" if self.half_scales else words

    def total_bytes(self, rows: int, in_features: int) -> int:
        """Bytes of a matrix: quants, scales, and zero points or corrections."""
        quants = rows * in_features * self.bits // 8
        if self.is_float:
            return quants
        blocks = in_features // self.block_len
        numbers = 2 if self.corrected else 1
        total = quants + rows * blocks * numbers * (2 if self.half_scales else 4)
        return total + (rows * zero_point_bytes(blocks, self.bits) if self.has_zero_points else 0)


def zero_point_bytes(blocks: int, bits: int) -> int:
    """Bytes of the zero points of one row, which are packed as quants are."""
    return -(-blocks * bits // 8)


_INT4 = Storage(4, 32, exact=True)
_INT4_CORRECTED = Storage(4, 32, Offset.CORRECTION, exact=True)
_INT8 = Storage(8, 32, exact=True)
_INT8_CORRECTED = Storage(8, 32, Offset.CORRECTION, exact=True)
# Q6_K scales blocks of 16. Keeping them costs a fifth of the speed of this operator at batch 1
# (41 against 34 µs for 576 x 1536); merging two blocks would round every other weight again.
_INT8_FINE = Storage(8, 16, exact=True)

_EXACT = {
    BlockType.Q4_0: _INT4,
    BlockType.Q4_1: _INT4_CORRECTED,
    BlockType.Q4_K: _INT4_CORRECTED,
    BlockType.Q5_0: _INT8,
    BlockType.Q5_1: _INT8_CORRECTED,
    BlockType.Q5_K: _INT8_CORRECTED,
    BlockType.Q6_K: _INT8_FINE,
    BlockType.Q8_0: _INT8,
}
_FLOAT16_SCALES = frozenset({BlockType.Q4_0, BlockType.Q5_0, BlockType.Q8_0})
"""Types whose scale is one float16 number; others multiply two, or add them to a correction."""
_FLOATS = frozenset({BlockType.F32, BlockType.F16, BlockType.BF16})


def exact_storage(kind: BlockType) -> Storage | None:
    """The storage that keeps every block as it is, `None` for weights that are not in blocks."""
    return _EXACT.get(kind)


def halved(storage: Storage, kind: BlockType) -> Storage:
    """The storage of kept blocks with float16 scales; exact where a block has no others."""
    return replace(storage, half_scales=True, exact=kind in _FLOAT16_SCALES)


def require_storable(kind: BlockType, *, source: str) -> None:
    """Refuse block types that cannot be read; `source` names the tensor in the error.

    Raises:
        UnsupportedError: The type is not one of those that are stored.
    """
    if kind not in _EXACT and kind not in _FLOATS:
        supported = ", ".join(sorted(known.name for known in {*_EXACT, *_FLOATS}))
        raise UnsupportedError(
            f"{source} is stored as {kind}, which is not supported; use a file with weights in"
            f" {supported}."
        )
