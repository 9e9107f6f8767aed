"""What distinguishes one decoder family from another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A decoder architecture of the Llama lineage, as far as the graph is concerned.

    All families share the pre-norm decoder with grouped-query attention, rotary positions and a
    gated SiLU MLP; a new one states its differences here and the graph reads them.

    Attributes:
        architecture: `general.architecture` in a GGUF, also the prefix of its metadata keys.
        runtime_type: `model.type` in `genai_config.json`.
        interleaved_rope: Whether the file's Q and K rows are ordered so that rotary pairs are
            neighbours (ggml's NORM order); else pairs lie half a head apart (NEOX order).
        qkv_bias: Whether the Q, K and V projections have biases.
    """

    architecture: str
    runtime_type: str
    interleaved_rope: bool
    qkv_bias: bool
