"""Tiny random language models as GGUF files, written by the `gguf` library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize

_K_QUANT_HALVES = {
    # Byte offsets of the float16 factors in a block of 256, and the bytes of the block.
    GGMLQuantizationType.Q4_K: ((0, 2), 144),
    GGMLQuantizationType.Q5_K: ((0, 2), 176),
    GGMLQuantizationType.Q6_K: ((208,), 210),
    GGMLQuantizationType.Q2_K: ((80, 82), 84),
}


@dataclass
class TinyModel:
    """A model to write; the defaults are the smallest that every block type fits."""

    architecture: str = "llama"
    kind: GGMLQuantizationType = GGMLQuantizationType.Q4_1
    kinds: Mapping[str, GGMLQuantizationType] = field(default_factory=dict)
    tied: bool = True
    rope_factors: bool = False
    layers: int = 2
    hidden: int = 256
    intermediate: int = 512
    heads: int = 4
    kv_heads: int = 2
    vocab: int = 320
    context_len: int = 512
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of integer keys, without the architecture's prefix."""
    drop: frozenset[str] = frozenset()
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    poison: str = ""
    """A tensor whose first block gets a scale that is not a number."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes."""
        head_dim = self.hidden // self.heads
        q_width, kv_width = self.heads * head_dim, self.kv_heads * head_dim
        shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (self.vocab, self.hidden)}
        for index in range(self.layers):
            block = {
                "attn_norm.weight": (self.hidden,),
                "attn_q.weight": (q_width, self.hidden),
                "attn_k.weight": (kv_width, self.hidden),
                "attn_v.weight": (kv_width, self.hidden),
                "attn_output.weight": (self.hidden, q_width),
                "ffn_norm.weight": (self.hidden,),
                "ffn_gate.weight": (self.intermediate, self.hidden),
                "ffn_up.weight": (self.intermediate, self.hidden),
                "ffn_down.weight": (self.hidden, self.intermediate),
            }
            if self.architecture == "qwen2":
                block |= {
                    "attn_q.bias": (q_width,),
                    "attn_k.bias": (kv_width,),
                    "attn_v.bias": (kv_width,),
                }
            shapes |= {f"blk.{index}.{name}": shape for name, shape in block.items()}
        shapes["output_norm.weight"] = (self.hidden,)
        if not self.tied:
            shapes["output.weight"] = (self.vocab, self.hidden)
        if self.rope_factors:
            shapes["rope_freqs.weight"] = (head_dim // 2,)
        shapes |= self.extra
        shapes |= self.shapes
        return {name: shape for name, shape in shapes.items() if name not in self.drop}

    def kind_of(self, name: str) -> GGMLQuantizationType:
        """The block type of a matrix: by its full name, its part, or the default."""
        part = name.split(".")[-2]
        return self.kinds.get(name, self.kinds.get(part, self.kind))


def write_tiny(path: Path, model: TinyModel) -> Path:
    """Write a model with reproducible random weights."""
    writer = GGUFWriter(path, model.architecture)
    prefix = model.architecture
    numbers: dict[str, Any] = {
        "block_count": model.layers,
        "context_length": model.context_len,
        "embedding_length": model.hidden,
        "feed_forward_length": model.intermediate,
        "attention.head_count": model.heads,
        "attention.head_count_kv": model.kv_heads,
    }
    for key, value in (numbers | dict(model.metadata)).items():
        if isinstance(value, str):
            writer.add_string(f"{prefix}.{key}", value)
        elif isinstance(value, float):
            writer.add_float32(f"{prefix}.{key}", value)
        elif value is not None:
            writer.add_uint32(f"{prefix}.{key}", value)
    writer.add_float32(f"{prefix}.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32(f"{prefix}.rope.freq_base", 10_000.0)
    writer.add_name("Tiny")
    writer.add_string("general.license", "apache-2.0")
    _add_tokenizer(writer, model.vocab)
    generator = np.random.default_rng(7)
    for name, shape in model.tensors().items():
        _add_tensor(writer, name, shape, model, generator)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def random_blocks(
    kind: GGMLQuantizationType, shape: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Rows of random weights of about unit variance over the input, as stored bytes."""
    rows, width = shape
    if kind in _K_QUANT_HALVES:
        halves, size = _K_QUANT_HALVES[kind]
        blocks = generator.integers(0, 256, (rows, width // 256, size), dtype=np.uint8)
        for offset in halves:
            factors = generator.uniform(1e-4, 4e-4, (rows, width // 256, 1)).astype("<f2")
            blocks[..., offset : offset + 2] = factors.view(np.uint8)
        return blocks.reshape(rows, -1)
    weights = generator.standard_normal(shape).astype(np.float32) / np.float32(width**0.5)
    # A shift makes the minima of Q4_1 and Q5_1 matter.
    weights += generator.standard_normal((rows, 1)).astype(np.float32) * np.float32(0.02)
    return quantize(weights, kind)


def _add_tensor(
    writer: GGUFWriter,
    name: str,
    shape: tuple[int, ...],
    model: TinyModel,
    generator: np.random.Generator,
) -> None:
    if len(shape) == 1:
        values = generator.uniform(0.5, 1.5, shape).astype(np.float32)
        if name == model.poison:
            values[0] = np.nan
        writer.add_tensor(name, values)
        return
    kind = model.kind_of(name)
    raw = random_blocks(kind, (shape[0], shape[1]), generator)
    if name == model.poison:
        raw.view(np.uint8)[0, :2] = np.array([np.nan], "<f2").view(np.uint8)
    if raw.dtype == np.uint8:
        writer.add_tensor(name, raw, raw_dtype=kind)
    else:
        writer.add_tensor(name, raw)


def _add_tokenizer(writer: GGUFWriter, vocab: int) -> None:
    """256 bytes, two merges, two control tokens, and unused tokens up to the size."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = [chr(byte) for byte in printable]
    characters += [chr(256 + at) for at in range(len(others))]
    tokens = [*characters, "th", "the", "<|im_start|>", "<|im_end|>"]
    kinds = [1] * 258 + [3, 3]
    tokens += [f"<unused{at}>" for at in range(vocab - len(tokens))]
    kinds += [5] * (vocab - len(kinds))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(258)
    writer.add_eos_token_id(259)
    writer.add_pad_token_id(259)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for message in messages %}{{ message.content }}{% endfor %}")
