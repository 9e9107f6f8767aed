"""What a decoder computes, whatever family or file format it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgeagent.export.decoder.weights import DecoderWeights

Activation: TypeAlias = Literal["silu", "gelu_tanh"]

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Rotary:
    """Frequencies of a rotary position embedding.

    Attributes:
        frequencies: Radians per position of each pair; fewer than `head_dim / 2` where only the
            first part of a head is rotated.
        magnitude: Factor on cosine and sine; LongRoPE scales attention with it.
    """

    frequencies: tuple[float, ...]
    magnitude: float = 1.0


@dataclass(frozen=True)
class LayerSpec:
    """What one decoder block does differently from another.

    Attributes:
        rotary: Index into `DecoderSpec.rotaries`; `None` for a block without positions.
        window: Tokens that a token attends to, itself included; `None` for all before it.
    """

    rotary: int | None = 0
    window: int | None = None


@dataclass(frozen=True)
class DecoderSpec:
    """Sizes and constants of a pre-norm decoder with grouped-query attention and a gated MLP.

    Which optional parts a model has (biases, norms of queries and keys, norms behind attention
    and MLP) is said by its weights, see `DecoderWeights`.

    Attributes:
        family: Name of its family in `edgeagent.export.families`.
        runtime_type: `model.type` in `genai_config.json`.
        hidden: Width of the residual stream.
        intermediate: Width of the MLP.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of one head.
        vocab: Rows of the embedding.
        context_len: Longest context of the package in tokens.
        rms_epsilon: Of every RMS norm.
        attention_scale: Factor on the attention scores.
        activation: Of the gate.
        embedding_scale: Factor on the embeddings.
        rotaries: Rotary embeddings that blocks refer to.
        layers: The blocks, in order.
        weights: Where each weight lies in the source.
    """

    family: str
    runtime_type: str
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context_len: int
    rms_epsilon: float
    attention_scale: float
    activation: Activation
    embedding_scale: float
    rotaries: tuple[Rotary, ...]
    layers: tuple[LayerSpec, ...]
    weights: DecoderWeights

    @property
    def q_width(self) -> int:
        """Outputs of the query projection."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Outputs of the key projection, and of the value projection."""
        return self.kv_heads * self.head_dim

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of float32 KV cache that one token takes over all layers."""
        return 2 * len(self.layers) * self.kv_width * _FLOAT32_BYTES
