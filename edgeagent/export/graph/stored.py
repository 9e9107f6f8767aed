"""What the weight writer hands to the graph builder: arrays by name, and their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgeagent.export.graph.external import StoredArray
from edgeagent.export.pack.storage import Storage


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix in the package; fields name arrays of `StoredDecoder.arrays`.

    Attributes:
        quants: `(out, blocks, block_len · bits / 8)` uint8, or `(out, in)` if not quantized.
        scales: `(out · blocks,)`, `None` if not quantized.
        zero_points: `(out · bytes,)` uint8, `None` where there are none.
        corrections: `(out, blocks)` float32, `None` where there are none.
        out_features: Rows.
        in_features: Weights in a row.
        storage: Precision.
    """

    quants: str
    scales: str | None
    zero_points: str | None
    corrections: str | None
    out_features: int
    in_features: int
    storage: Storage

    def arrays(self) -> tuple[str, ...]:
        """Names of its arrays."""
        named = (self.quants, self.scales, self.zero_points, self.corrections)
        return tuple(name for name in named if name is not None)


@dataclass(frozen=True)
class StoredLinear:
    """A linear layer in the package.

    Attributes:
        name: Prefix of its nodes.
        matrix: Its weights.
        bias: `(out,)` float32, `None` without bias.
    """

    name: str
    matrix: StoredMatrix
    bias: str | None = None

    @property
    def lora_inputs(self) -> tuple[str, str]:
        """Names of the graph inputs that an adapter fills: `(in, rank)` and `(rank, out)`."""
        return f"{self.name}.lora_A", f"{self.name}.lora_B"


@dataclass(frozen=True)
class StoredLayer:
    """One decoder block.

    Attributes:
        attention_norm: Gain of the norm in front of attention.
        qkv: One fused linear layer, or three where precisions differ.
        qk_norms: Gains of the norms of queries and keys, `None` where there are none.
        attention_output: Output projection.
        attention_post_norm: Gain of the norm behind attention, `None` where there is none.
        mlp_norm: Gain of the norm in front of the MLP.
        gate: Gate projection.
        up: Up projection.
        down: Down projection.
        mlp_post_norm: Gain of the norm behind the MLP, `None` where there is none.
    """

    attention_norm: str
    qkv: tuple[StoredLinear, ...]
    qk_norms: tuple[str, str] | None
    attention_output: StoredLinear
    attention_post_norm: str | None
    mlp_norm: str
    gate: StoredLinear
    up: StoredLinear
    down: StoredLinear
    mlp_post_norm: str | None


@dataclass(frozen=True)
class StoredDecoder:
    """All weights of a package, as the graph refers to them.

    Attributes:
        embedding: `(vocab, hidden)`.
        layers: The blocks.
        output_norm: Gain of the norm in front of the head.
        head: `(vocab, hidden)`; a tied one shares the bytes of the embedding.
        rotaries: Names of the cosine and sine table of each rotary embedding.
        arrays: Every array by name.
        location: Name of the external-data file.
        adapted: Names of the linear layers that have inputs for adapters.
    """

    embedding: StoredMatrix
    layers: tuple[StoredLayer, ...]
    output_norm: str
    head: StoredLinear
    rotaries: tuple[tuple[str, str], ...]
    arrays: Mapping[str, StoredArray]
    location: str
    adapted: frozenset[str] = frozenset()

    def with_head_rows(self, start: int, stop: int) -> StoredDecoder:
        """The same weights with a head that computes the logits of some tokens only."""
        rows = self.head.matrix.out_features
        matrix = self.head.matrix
        cut = {name: self.arrays[name].rows(start, stop, rows) for name in matrix.arrays()}
        part = replace(matrix, out_features=stop - start)
        return replace(
            self,
            head=replace(self.head, matrix=part),
            arrays={**self.arrays, **cut},
        )
