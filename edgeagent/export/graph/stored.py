"""What the weight writer hands to the graph builder: names of initializers and their layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeagent.export.pack.storage import Storage

if TYPE_CHECKING:
    from onnx import TensorProto


@dataclass(frozen=True)
class StoredLinear:
    """A linear layer in the package.

    Attributes:
        name: Prefix of its nodes.
        quants: Initializer `(out, blocks, block_len · bits / 8)` uint8.
        scales: Initializer `(out · blocks,)` float32.
        corrections: Initializer `(out, blocks)` float32, `None` without corrections.
        bias: Initializer `(out,)` float32, `None` without bias.
        out_features: Rows.
        in_features: Weights in a row.
        storage: Precision.
    """

    name: str
    quants: str
    scales: str
    corrections: str | None
    bias: str | None
    out_features: int
    in_features: int
    storage: Storage


@dataclass(frozen=True)
class StoredEmbedding:
    """The embedding: quants `(vocab, hidden · bits / 8)`, scales and corrections by block."""

    quants: str
    scales: str
    corrections: str | None
    storage: Storage


@dataclass(frozen=True)
class StoredLayer:
    """One decoder block; `qkv` is one fused linear layer, or three where precisions differ."""

    attention_norm: str
    qkv: tuple[StoredLinear, ...]
    attention_output: StoredLinear
    mlp_norm: str
    gate: StoredLinear
    up: StoredLinear
    down: StoredLinear


@dataclass(frozen=True)
class StoredDecoder:
    """All weights of a package, as the graph refers to them."""

    embedding: StoredEmbedding
    layers: tuple[StoredLayer, ...]
    output_norm: str
    head: StoredLinear
    cos_cache: str
    sin_cache: str
    initializers: tuple[TensorProto, ...]
