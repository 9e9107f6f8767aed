"""What a block of quantized weights consists of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Offset(Enum):
    """How a block of weights that is not centred on zero is shifted.

    Attributes:
        NONE: Not at all: quants are stored above the middle of their range.
        ZERO_POINT: By a whole number of steps, stored with as many bits as a quant.
        CORRECTION: By a float; the runtime adds it outside of its block-quantized operators.
    """

    NONE = "none"
    ZERO_POINT = "zero_point"
    CORRECTION = "correction"


@dataclass(frozen=True)
class Scheme:
    """How rows are quantized: `weight = scale · (quant − zero_point) + correction` by block.

    Attributes:
        bits: 4 or 8 bits a weight.
        block_len: Weights that share a scale; 16, 32, 64 or 128, as the runtime has kernels for.
        offset: Which of zero point and correction is chosen; the other one is fixed, the zero
            point at half the range and the correction at 0.
        half_scales: Whether scales and corrections are float16 numbers, given as float32.
    """

    bits: int
    block_len: int
    offset: Offset = Offset.NONE
    half_scales: bool = False

    def __post_init__(self) -> None:
        """Refuse what no operator of the runtime computes."""
        if self.bits not in (4, 8):
            raise ValueError(f"bits must be 4 or 8, not {self.bits}")
        if self.block_len not in (16, 32, 64, 128):
            raise ValueError(f"block_len must be 16, 32, 64 or 128, not {self.block_len}")

    @property
    def centre(self) -> int:
        """The zero point that the runtime assumes where none is stored."""
        return 1 << (self.bits - 1)

    @property
    def highest(self) -> int:
        """The largest quant; the smallest is 0."""
        return (1 << self.bits) - 1
