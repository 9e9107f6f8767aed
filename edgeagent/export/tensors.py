"""Which tensors a decoder needs, and the check that a file has exactly those."""

from __future__ import annotations

from collections.abc import Iterator

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.families import Family
from edgeagent.export.pack.storage import storage_of
from edgeagent.export.shape import DecoderShape

ROPE_FACTORS = "rope_freqs.weight"
"""Divisors of the rotary frequencies; Llama 3.1 and later have them."""


def layer_tensor(index: int, part: str) -> str:
    """Name of a tensor of one decoder block."""
    return f"blk.{index}.{part}"


def check_tensors(gguf: GGUFFile, family: Family, shape: DecoderShape) -> None:
    """Check names, shapes and block types of all tensors before anything is written.

    Raises:
        DamagedFileError: A tensor is missing or has the wrong shape.
        UnsupportedError: A block type cannot be stored, or the file holds a tensor that the graph
            would ignore, which means that the model computes something else.
    """
    known = {ROPE_FACTORS}
    for name, expected in _expected(family, shape):
        known.add(name)
        _check_tensor(gguf, name, expected)
    if "output.weight" in gguf.tensors:
        known.add("output.weight")
        _check_tensor(gguf, "output.weight", (shape.vocab, shape.hidden))
    if ROPE_FACTORS in gguf.tensors:
        _check_tensor(gguf, ROPE_FACTORS, (shape.head_dim // 2,))
    extra = sorted(set(gguf.tensors) - known)
    if extra:
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        raise UnsupportedError(
            f"{gguf.path} has the tensor {extra[0]}{more}, which a {family.architecture} decoder"
            " does not use; the model is a variant that is not supported."
        )


def _expected(family: Family, shape: DecoderShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, wide = shape.hidden, shape.intermediate
    yield "token_embd.weight", (shape.vocab, hidden)
    yield "output_norm.weight", (hidden,)
    widths = {"attn_q": shape.q_width, "attn_k": shape.kv_width, "attn_v": shape.kv_width}
    for index in range(shape.layers):
        yield layer_tensor(index, "attn_norm.weight"), (hidden,)
        for part, width in widths.items():
            yield layer_tensor(index, f"{part}.weight"), (width, hidden)
            if family.qkv_bias:
                yield layer_tensor(index, f"{part}.bias"), (width,)
        yield layer_tensor(index, "attn_output.weight"), (hidden, shape.q_width)
        yield layer_tensor(index, "ffn_norm.weight"), (hidden,)
        yield layer_tensor(index, "ffn_gate.weight"), (wide, hidden)
        yield layer_tensor(index, "ffn_up.weight"), (wide, hidden)
        yield layer_tensor(index, "ffn_down.weight"), (hidden, wide)


def _check_tensor(gguf: GGUFFile, name: str, expected: tuple[int, ...]) -> None:
    tensor = gguf.tensors.get(name)
    if tensor is None:
        raise DamagedFileError(f"{gguf.path} has no tensor {name}, which this model needs.")
    if tensor.shape != expected:
        raise DamagedFileError(
            f"{gguf.path}: tensor {name} has shape {_times(tensor.shape)} where the"
            f" hyperparameters say {_times(expected)}."
        )
    if len(expected) == 1:
        if not tensor.type.is_float or tensor.type.name == "F64":
            raise UnsupportedError(
                f"{gguf.path}: tensor {name} is stored as {tensor.type}; vectors must be F32, F16"
                " or BF16."
            )
        return
    storage = storage_of(tensor.type, source=f"{gguf.path}: tensor {name}")
    if tensor.in_features % storage.block_len:
        raise UnsupportedError(
            f"{gguf.path}: tensor {name} has rows of {tensor.in_features} weights, which is not a"
            f" multiple of the block of {storage.block_len} that it would be stored in."
        )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
