"""Reads a decoder from a GGUF: sizes from its metadata, weights under llama.cpp's names."""

from __future__ import annotations

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.gguf.checkpoint import GGUFCheckpoint
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.decoder.weights import DecoderWeights, LayerWeights, Matrix, Role, Vector
from edgeagent.export.families.family import Family
from edgeagent.export.families.gguf_positions import ROPE_FREQS
from edgeagent.export.families.sizes import Sizes, contradiction

IGNORED = frozenset({ROPE_FREQS, "rope_factors_long.weight", "rope_factors_short.weight"})
"""Tensors that go into the rotary tables instead of the graph."""

_EMBEDDING = "token_embd.weight"
_HEAD = "output.weight"


def read_gguf(family: Family, gguf: GGUFCheckpoint, context_len: int | None) -> DecoderSpec:
    """Read the decoder.

    Args:
        family: Its family.
        gguf: The open file.
        context_len: Longest context of the package, `None` for the usual.

    Raises:
        DamagedFileError: A value is missing, absurd, or contradicts another.
        UnsupportedError: The model uses a feature that the graph does not have.
    """
    prefix = family.name
    if gguf.get_int(f"{prefix}.expert_count", 0) > 0:
        raise UnsupportedError(f"{gguf.path} is a mixture of experts, which is not supported.")
    sizes = _sizes(family, gguf)
    positions = family.gguf_positions(gguf, sizes, context_len)
    return family.decoder(sizes, positions, _weights(family, gguf, sizes))


def _sizes(family: Family, gguf: GGUFCheckpoint) -> Sizes:
    prefix = family.name
    hidden = gguf.get_int(f"{prefix}.embedding_length")
    heads = gguf.get_int(f"{prefix}.attention.head_count")
    head_dim = gguf.get_int(f"{prefix}.attention.key_length", None)
    if head_dim is None:
        if heads < 1 or hidden % heads:
            raise contradiction(
                gguf.path, f"{hidden} hidden units do not divide into {heads} heads"
            )
        head_dim = hidden // heads
    value_dim = gguf.get_int(f"{prefix}.attention.value_length", head_dim)
    if value_dim != head_dim:
        raise UnsupportedError(
            f"{gguf.path} has keys of width {head_dim} and values of width {value_dim}; models"
            " where they differ are not supported."
        )
    rotated = gguf.get_int(f"{prefix}.rope.dimension_count", head_dim)
    if family.neighbour_pairs and 0 < rotated < head_dim:
        raise UnsupportedError(
            f"{gguf.path} rotates {rotated} of the {head_dim} values of a head, which no published"
            f" {family.name} model does and the exporter does not support."
        )
    return Sizes(
        path=gguf.path,
        layers=gguf.get_int(f"{prefix}.block_count"),
        hidden=hidden,
        intermediate=gguf.get_int(f"{prefix}.feed_forward_length"),
        heads=heads,
        kv_heads=gguf.get_int(f"{prefix}.attention.head_count_kv", heads),
        head_dim=head_dim,
        vocab=_vocab(gguf),
        native_context_len=gguf.get_int(f"{prefix}.context_length"),
        rms_epsilon=gguf.get_float(f"{prefix}.attention.layer_norm_rms_epsilon"),
        rope_base=gguf.get_float(f"{prefix}.rope.freq_base", family.rope_base),
        rotated=rotated,
    ).check()


def _vocab(gguf: GGUFCheckpoint) -> int:
    embedding = gguf.tensors.get(_EMBEDDING)
    if embedding is None:
        raise DamagedFileError(f"{gguf.path} has no tensor {_EMBEDDING}, the embedding.")
    tokens = len(gguf.get_strings("tokenizer.ggml.tokens"))
    if tokens > embedding.rows:
        raise contradiction(gguf.path, f"it has {tokens} tokens and {embedding.rows} embeddings")
    return embedding.rows


def _weights(family: Family, gguf: GGUFCheckpoint, sizes: Sizes) -> DecoderWeights:
    head = Matrix("head", _HEAD, 0, sizes.vocab, sizes.hidden) if _HEAD in gguf.tensors else None
    return DecoderWeights(
        embedding=Matrix("embedding", _EMBEDDING, 0, sizes.vocab, sizes.hidden),
        layers=tuple(_layer(family, gguf, sizes, index) for index in range(sizes.layers)),
        output_norm=Vector("output_norm.weight", sizes.hidden),
        head=head,
    )


def _layer(family: Family, gguf: GGUFCheckpoint, sizes: Sizes, index: int) -> LayerWeights:
    q_width, kv_width = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    wide = sizes.intermediate
    pairs = (sizes.heads, sizes.kv_heads, 0) if family.neighbour_pairs else (0, 0, 0)
    widths = (q_width, kv_width, kv_width)
    roles: tuple[Role, Role, Role] = ("q", "k", "v")

    def named(part: str) -> str:
        return f"blk.{index}.{part}"

    def matrix(role: Role, part: str, rows: int, width: int, first: int = 0) -> Matrix:
        return Matrix(role, named(f"{part}.weight"), first, rows, width)

    def vector(part: str, size: int = sizes.hidden) -> Vector:
        return Vector(named(f"{part}.weight"), size)

    if family.fused:
        starts = (0, q_width, q_width + kv_width)
        q, k, v = (
            matrix(role, "attn_qkv", rows, sizes.hidden, first)
            for role, rows, first in zip(roles, widths, starts, strict=True)
        )
        gate, gate_rows = matrix("gate", "ffn_up", wide, sizes.hidden), wide
    else:
        q, k, v = (
            Matrix(role, named(f"attn_{role}.weight"), 0, rows, sizes.hidden, heads)
            for role, rows, heads in zip(roles, widths, pairs, strict=True)
        )
        gate, gate_rows = matrix("gate", "ffn_gate", wide, sizes.hidden), 0
    has_bias = family.qkv_bias
    if has_bias is None:
        has_bias = named("attn_q.bias") in gguf.tensors
    biases = [
        Vector(named(f"attn_{role}.bias"), rows, neighbour_pairs=heads) if has_bias else None
        for role, rows, heads in zip(roles, widths, pairs, strict=True)
    ]
    return LayerWeights(
        attention_norm=vector("attn_norm"),
        q=q,
        k=k,
        v=v,
        q_bias=biases[0],
        k_bias=biases[1],
        v_bias=biases[2],
        q_norm=vector("attn_q_norm", sizes.head_dim) if family.qk_norm else None,
        k_norm=vector("attn_k_norm", sizes.head_dim) if family.qk_norm else None,
        o=matrix("o", "attn_output", sizes.hidden, q_width),
        attention_post_norm=vector("post_attention_norm") if family.post_norms else None,
        mlp_norm=vector("ffn_norm"),
        gate=gate,
        up=matrix("up", "ffn_up", wide, sizes.hidden, gate_rows),
        down=matrix("down", "ffn_down", sizes.hidden, wide),
        mlp_post_norm=vector("post_ffw_norm") if family.post_norms else None,
    )
