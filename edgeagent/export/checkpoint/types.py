"""How checkpoints store weights: the block types of ggml and the data types of safetensors.

Source of ids and sizes: `enum ggml_type` and the block structs in ggml (`ggml.h`,
`ggml-common.h`); the `Dtype` of the safetensors library. A row of `in_features` weights is stored
as `in_features / block_len` blocks.
"""

from __future__ import annotations

from enum import Enum


class BlockType(Enum):
    """How the weights of a tensor are stored.

    A member is `(id, weights per block, bytes per block)`; the id is the number that ggml gives it,
    or the name in safetensors files of what ggml does not have. Types that cannot be unpacked are
    listed too, so that a file that contains them can be opened and the error can name them.
    """

    F32 = (0, 1, 4)
    F16 = (1, 1, 2)
    Q4_0 = (2, 32, 18)
    Q4_1 = (3, 32, 20)
    Q5_0 = (6, 32, 22)
    Q5_1 = (7, 32, 24)
    Q8_0 = (8, 32, 34)
    Q8_1 = (9, 32, 40)
    Q2_K = (10, 256, 84)
    Q3_K = (11, 256, 110)
    Q4_K = (12, 256, 144)
    Q5_K = (13, 256, 176)
    Q6_K = (14, 256, 210)
    Q8_K = (15, 256, 292)
    IQ2_XXS = (16, 256, 66)
    IQ2_XS = (17, 256, 74)
    IQ3_XXS = (18, 256, 98)
    IQ1_S = (19, 256, 50)
    IQ4_NL = (20, 32, 18)
    IQ3_S = (21, 256, 110)
    IQ2_S = (22, 256, 82)
    IQ4_XS = (23, 256, 136)
    I8 = (24, 1, 1)
    I16 = (25, 1, 2)
    I32 = (26, 1, 4)
    I64 = (27, 1, 8)
    F64 = (28, 1, 8)
    IQ1_M = (29, 256, 56)
    BF16 = (30, 1, 2)
    TQ1_0 = (34, 256, 54)
    TQ2_0 = (35, 256, 66)
    MXFP4 = (39, 32, 17)
    NVFP4 = (40, 64, 36)
    Q1_0 = (41, 128, 18)
    BOOL = ("BOOL", 1, 1)
    U8 = ("U8", 1, 1)
    U16 = ("U16", 1, 2)
    U32 = ("U32", 1, 4)
    U64 = ("U64", 1, 8)
    C64 = ("C64", 1, 8)
    F4 = ("F4", 2, 1)
    F6_E2M3 = ("F6_E2M3", 4, 3)
    F6_E3M2 = ("F6_E3M2", 4, 3)
    F8_E5M2 = ("F8_E5M2", 1, 1)
    F8_E4M3 = ("F8_E4M3", 1, 1)
    F8_E8M0 = ("F8_E8M0", 1, 1)
    F8_E4M3FNUZ = ("F8_E4M3FNUZ", 1, 1)
    F8_E5M2FNUZ = ("F8_E5M2FNUZ", 1, 1)

    def __init__(self, identity: int | str, block_len: int, block_bytes: int) -> None:
        self.identity = identity
        self.block_len = block_len
        self.block_bytes = block_bytes

    def __str__(self) -> str:
        return self.name if self.ggml_id is None else f"{self.name} (type {self.ggml_id})"

    @property
    def ggml_id(self) -> int | None:
        """The number in GGUF files; None for what only safetensors files have."""
        return self.identity if isinstance(self.identity, int) else None

    @property
    def is_float(self) -> bool:
        """Whether weights are stored one by one as floating-point numbers."""
        return self in {BlockType.F32, BlockType.F16, BlockType.BF16, BlockType.F64}

    def row_bytes(self, in_features: int) -> int:
        """Bytes of one row of `in_features` weights, which must fill whole blocks."""
        return in_features // self.block_len * self.block_bytes


BLOCK_TYPES: dict[int, BlockType] = {
    kind.ggml_id: kind for kind in BlockType if kind.ggml_id is not None
}
"""Block types by the id that a GGUF file stores."""

SAFETENSORS_TYPES: dict[str, BlockType] = {
    kind.name: kind
    for kind in BlockType
    if kind.ggml_id is None or kind.name in {"F16", "BF16", "F32", "F64", "I8", "I16", "I32", "I64"}
}
"""Data types by the name that a safetensors file stores."""
