"""The hyperparameters of a decoder, read from a GGUF and checked before anything is built."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.families import Family

# Far above every model that fits an edge device; they stop absurd numbers, not large models.
_LIMITS = {
    "block_count": 1024,
    "embedding_length": 1 << 16,
    "feed_forward_length": 1 << 20,
    "attention.head_count": 1 << 12,
    "attention.head_count_kv": 1 << 12,
    "context_length": 1 << 24,
    "rope.dimension_count": 1 << 10,
}
_MIN_CONTEXT_LEN = 64  # less cannot hold a question, and the verification needs a few tokens
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class DecoderShape:
    """Sizes and constants of a decoder.

    Attributes:
        layers: Number of decoder blocks.
        hidden: Width of the residual stream.
        intermediate: Width of the MLP.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of one head.
        vocab: Rows of the embedding.
        context_len: Longest context of the package in tokens.
        rms_epsilon: Of every RMS norm.
        rope_base: Base of the rotary frequencies.
        rope_scale: Positions are divided by this (linear scaling); 1 means unscaled.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context_len: int
    rms_epsilon: float
    rope_base: float
    rope_scale: float

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
        return 2 * self.layers * self.kv_width * _FLOAT32_BYTES


def read_shape(gguf: GGUFFile, family: Family, context_len: int | None) -> DecoderShape:
    """Read and check the hyperparameters.

    Args:
        gguf: The open file.
        family: Its family; the metadata keys begin with its architecture.
        context_len: Cap on the context, `None` for what the model has.

    Raises:
        DamagedFileError: A value is missing, absurd, or contradicts another.
        UnsupportedError: The model uses a feature that the graph does not have.
    """
    prefix = family.architecture
    hidden = _size(gguf, prefix, "embedding_length")
    heads = _size(gguf, prefix, "attention.head_count")
    kv_heads = _size(gguf, prefix, "attention.head_count_kv", default=heads)
    if heads % kv_heads:
        raise _contradiction(gguf, f"{heads} query heads do not share {kv_heads} KV heads evenly")
    native_context_len = _size(gguf, prefix, "context_length", minimum=_MIN_CONTEXT_LEN)
    shape = DecoderShape(
        layers=_size(gguf, prefix, "block_count"),
        hidden=hidden,
        intermediate=_size(gguf, prefix, "feed_forward_length"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=_head_dim(gguf, prefix, hidden, heads),
        vocab=_vocab(gguf),
        context_len=min(native_context_len, context_len or native_context_len),
        rms_epsilon=_positive(gguf, f"{prefix}.attention.layer_norm_rms_epsilon", None, below=1.0),
        rope_base=_positive(gguf, f"{prefix}.rope.freq_base", 10_000.0, below=1e12),
        rope_scale=_rope_scale(gguf, prefix),
    )
    _reject_features(gguf, prefix, shape)
    return shape


def _size(
    gguf: GGUFFile, prefix: str, key: str, default: int | None = None, minimum: int = 1
) -> int:
    name = f"{prefix}.{key}"
    value = gguf.get_int(name) if default is None else gguf.get_int(name, default)
    if not minimum <= value <= _LIMITS[key]:
        limits = f"{minimum} and {_LIMITS[key]}"
        raise _contradiction(gguf, f"{name} is {value}, which is not between {limits}")
    return value


def _positive(gguf: GGUFFile, key: str, default: float | None, below: float) -> float:
    value = gguf.get_float(key) if default is None else gguf.get_float(key, default)
    if not 0.0 < value < below:
        raise _contradiction(gguf, f"{key} is {value:g}, which is not between 0 and {below:g}")
    return value


def _head_dim(gguf: GGUFFile, prefix: str, hidden: int, heads: int) -> int:
    stated = gguf.get_int(f"{prefix}.attention.key_length", None)
    if stated is None and hidden % heads:
        raise _contradiction(gguf, f"{hidden} hidden units do not divide into {heads} heads")
    head_dim = hidden // heads if stated is None else stated
    if not 2 <= head_dim <= _LIMITS["rope.dimension_count"] or head_dim % 8:
        raise UnsupportedError(
            f"{gguf.path} has heads of width {head_dim}; the runtime needs a multiple of 8."
        )
    for key in ("attention.value_length", "rope.dimension_count"):
        other = gguf.get_int(f"{prefix}.{key}", head_dim)
        if other != head_dim:
            raise UnsupportedError(
                f"{gguf.path}: {prefix}.{key} is {other} and the head width {head_dim};"
                " models where they differ are not supported."
            )
    return head_dim


def _vocab(gguf: GGUFFile) -> int:
    embedding = gguf.tensors.get("token_embd.weight")
    if embedding is None:
        raise DamagedFileError(f"{gguf.path} has no tensor token_embd.weight, the embedding.")
    tokens = len(gguf.get_strings("tokenizer.ggml.tokens"))
    if tokens > embedding.rows:
        raise _contradiction(gguf, f"it has {tokens} tokens and {embedding.rows} embeddings")
    return embedding.rows


def _rope_scale(gguf: GGUFFile, prefix: str) -> float:
    kind = gguf.get_str(f"{prefix}.rope.scaling.type", "none")
    if kind == "none":
        return 1.0
    if kind == "linear":
        return _positive(gguf, f"{prefix}.rope.scaling.factor", 1.0, below=1e6)
    raise UnsupportedError(
        f"{gguf.path} scales its rotary positions by {kind[:40]!r}; none and linear are supported."
    )


def _reject_features(gguf: GGUFFile, prefix: str, shape: DecoderShape) -> None:
    if gguf.get_int(f"{prefix}.expert_count", 0) > 0:
        raise UnsupportedError(f"{gguf.path} is a mixture of experts, which is not supported.")
    window = gguf.get_int(f"{prefix}.attention.sliding_window", 0)
    if 0 < window < shape.context_len:
        raise UnsupportedError(
            f"{gguf.path} attends to a window of {window} tokens only; export it with a context"
            f" of at most {window} tokens."
        )


def _contradiction(gguf: GGUFFile, what: str) -> DamagedFileError:
    return DamagedFileError(f"{gguf.path} is damaged or not a language model: {what}.")
