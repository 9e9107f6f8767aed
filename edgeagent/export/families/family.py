"""What distinguishes one decoder family from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edgeagent.export.checkpoint.gguf.checkpoint import GGUFCheckpoint
from edgeagent.export.checkpoint.safetensors import HFConfig
from edgeagent.export.decoder.spec import Activation, DecoderSpec
from edgeagent.export.decoder.weights import DecoderWeights
from edgeagent.export.families.folder_positions import folder_positions
from edgeagent.export.families.gguf_positions import gguf_positions
from edgeagent.export.families.sizes import Positions, Sizes


@dataclass(frozen=True)
class Family:
    """A decoder architecture of the Llama lineage.

    All families share the pre-norm decoder with grouped-query attention, rotary positions and a
    gated MLP; a new one states its differences here. What they mean for reading a file is in
    `from_gguf` and `from_folder`, what they mean for the graph follows from the `DecoderSpec`.

    Attributes:
        name: Of the family, and `general.architecture` in a GGUF.
        folder_architectures: `architectures` in `config.json`.
        runtime_type: `model.type` in `genai_config.json`.
        neighbour_pairs: Whether a GGUF orders the rows of Q and K so that rotary pairs are
            neighbours (ggml's NORM order); else pairs lie half a head apart (NEOX order), as they
            always do in a folder.
        qkv_bias: Whether the Q, K and V projections have biases; `None`: as the file has them.
        qk_norm: Whether every query and key head is normed.
        post_norms: Whether there are norms behind attention and MLP.
        fused: Whether Q, K, V are one tensor, and gate and up another.
        folder_defaults: What a `config.json` of the family may leave out.
        folder_gain_offset: Added to the gains of a folder.
        activation: Of the gate.
        scales_embedding: Whether embeddings are multiplied by the root of their width.
        tied: Whether a folder that does not say shares head and embedding.
        rope_base: Of a file that does not say.
        gguf_positions: Reads rotary embeddings and windows from a GGUF.
        folder_positions: Reads them from a `config.json`.
    """

    name: str
    folder_architectures: tuple[str, ...]
    runtime_type: str
    neighbour_pairs: bool = False
    qkv_bias: bool | None = False
    qk_norm: bool = False
    post_norms: bool = False
    fused: bool = False
    folder_defaults: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    folder_gain_offset: float = 0.0
    activation: Activation = "silu"
    scales_embedding: bool = False
    tied: bool = False
    rope_base: float = 10_000.0
    gguf_positions: Callable[[GGUFCheckpoint, Sizes, int | None], Positions] = gguf_positions
    folder_positions: Callable[[HFConfig, Sizes, int | None], Positions] = folder_positions

    def decoder(self, sizes: Sizes, positions: Positions, weights: DecoderWeights) -> DecoderSpec:
        """The decoder that a checkpoint of this family holds, whatever its format."""
        return DecoderSpec(
            family=self.name,
            runtime_type=self.runtime_type,
            hidden=sizes.hidden,
            intermediate=sizes.intermediate,
            heads=sizes.heads,
            kv_heads=sizes.kv_heads,
            head_dim=sizes.head_dim,
            vocab=sizes.vocab,
            context_len=positions.context_len,
            rms_epsilon=sizes.rms_epsilon,
            attention_scale=positions.attention_scale,
            activation=self.activation,
            embedding_scale=sizes.hidden**0.5 if self.scales_embedding else 1.0,
            rotaries=positions.rotaries,
            layers=positions.layers,
            weights=weights,
        )
