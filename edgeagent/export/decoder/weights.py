"""Where the weights of a decoder lie in its source: names of tensors, and rows of fused ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Role: TypeAlias = Literal["embedding", "q", "k", "v", "o", "gate", "up", "down", "head"]
"""What a matrix is for; precision is decided by it."""


@dataclass(frozen=True)
class Matrix:
    """The rows of a stored tensor that make up one linear layer.

    Attributes:
        role: What it is for.
        tensor: Name of the tensor in the source.
        first_row: Of the tensor; not 0 in the later parts of a fused one.
        rows: Outputs of the layer.
        in_features: Inputs of the layer.
        neighbour_pairs: Number of heads whose rotary pairs are neighbouring rows in the source
            (ggml's NORM order); 0 where pairs lie half a head apart, as the runtime wants them.
    """

    role: Role
    tensor: str
    first_row: int
    rows: int
    in_features: int
    neighbour_pairs: int = 0

    def row_order(self) -> npt.NDArray[np.intp] | None:
        """Rows of the tensor in the order that the runtime wants, `None` where they lie so.

        Rows are moved whole, so their blocks stay as they are.
        """
        if not self.neighbour_pairs:
            return None
        rows = np.arange(self.first_row, self.first_row + self.rows)
        pairs = rows.reshape(self.neighbour_pairs, -1, 2)
        order: npt.NDArray[np.intp] = pairs.transpose(0, 2, 1).reshape(-1)
        return order


@dataclass(frozen=True)
class Vector:
    """A stored vector: the gain of a norm, or a bias.

    Attributes:
        tensor: Name of the tensor in the source.
        size: Its length.
        plus: Added to every value; Gemma's files may hold `gain - 1`.
        neighbour_pairs: As in `Matrix`.
    """

    tensor: str
    size: int
    plus: float = 0.0
    neighbour_pairs: int = 0

    def order(self) -> npt.NDArray[np.intp] | None:
        """Indices in the order that the runtime wants, `None` where they lie so."""
        return Matrix("q", self.tensor, 0, self.size, 1, self.neighbour_pairs).row_order()


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one decoder block; what a family does not have is `None`.

    Attributes:
        attention_norm: Gain of the norm in front of attention.
        q: Queries.
        k: Keys.
        v: Values.
        q_bias: Bias of the queries; keys and values have one exactly if queries have.
        k_bias: Bias of the keys.
        v_bias: Bias of the values.
        q_norm: Gain of the norm of each query head, `(head_dim,)`.
        k_norm: Gain of the norm of each key head.
        o: Output projection of attention.
        attention_post_norm: Gain of the norm behind attention.
        mlp_norm: Gain of the norm in front of the MLP.
        gate: Gate projection.
        up: Up projection.
        down: Down projection.
        mlp_post_norm: Gain of the norm behind the MLP.
    """

    attention_norm: Vector
    q: Matrix
    k: Matrix
    v: Matrix
    o: Matrix
    mlp_norm: Vector
    gate: Matrix
    up: Matrix
    down: Matrix
    q_bias: Vector | None = None
    k_bias: Vector | None = None
    v_bias: Vector | None = None
    q_norm: Vector | None = None
    k_norm: Vector | None = None
    attention_post_norm: Vector | None = None
    mlp_post_norm: Vector | None = None

    def parts(self) -> Iterator[Matrix | Vector]:
        """Every weight of the block."""
        for part in vars(self).values():
            if part is not None:
                yield part


@dataclass(frozen=True)
class DecoderWeights:
    """The weights of a decoder.

    Attributes:
        embedding: One row a token.
        layers: The blocks, in order.
        output_norm: Gain of the norm in front of the head.
        head: `None` where the head is the embedding.
    """

    embedding: Matrix
    layers: tuple[LayerWeights, ...]
    output_norm: Vector
    head: Matrix | None

    def parts(self) -> Iterator[Matrix | Vector]:
        """Every weight, in the order of the computation."""
        yield self.embedding
        for layer in self.layers:
            yield from layer.parts()
        yield self.output_norm
        if self.head is not None:
            yield self.head

    def matrices(self) -> Iterator[Matrix]:
        """Every matrix in the order of the computation, with the role that it is stored in.

        An embedding that is the head too is stored once, as the head needs it.
        """
        for part in self.parts():
            if isinstance(part, Matrix):
                is_head = part is self.embedding and self.head is None
                yield replace(part, role="head") if is_head else part
