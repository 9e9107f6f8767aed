"""The tensors of a checkpoint: names and shapes as transformers saves them, and their values.

Every value is exact in bfloat16 and in float16, so the logits do not depend on which of the
unquantized types a file stores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tiny_checkpoints.randomness import NamedStream

Config = Mapping[str, Any]
Weights = dict[str, npt.NDArray[np.float32]]

_SMALLEST = 2.0**-16
"""Below it a float16 keeps fewer bits than a bfloat16."""


def head_dim(config: Config) -> int:
    """Width of one attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def tensor_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors, linear layers as `(out_features, in_features)`."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        parts = _norms(config) | _attention(config) | _mlp(config)
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in parts.items()}
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def _norms(config: Config) -> dict[str, tuple[int, ...]]:
    names = ["input_layernorm", "post_attention_layernorm"]
    if config["model_type"] == "gemma3_text":
        names += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    return {f"{name}.weight": (config["hidden_size"],) for name in names}


def _attention(config: Config) -> dict[str, tuple[int, ...]]:
    hidden, width = config["hidden_size"], head_dim(config)
    q_width = config["num_attention_heads"] * width
    kv_width = config["num_key_value_heads"] * width
    family = config["model_type"]
    parts: dict[str, tuple[int, ...]]
    if family == "phi3":
        parts = {"qkv_proj.weight": (q_width + 2 * kv_width, hidden)}
    else:
        widths = {"q_proj": q_width, "k_proj": kv_width, "v_proj": kv_width}
        parts = {f"{name}.weight": (rows, hidden) for name, rows in widths.items()}
        if family == "qwen2":
            parts |= {f"{name}.bias": (rows,) for name, rows in widths.items()}
    parts["o_proj.weight"] = (hidden, q_width)
    if family in {"qwen3", "gemma3_text"}:
        parts |= {"q_norm.weight": (width,), "k_norm.weight": (width,)}
    return {f"self_attn.{name}": shape for name, shape in parts.items()}


def _mlp(config: Config) -> dict[str, tuple[int, ...]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    down = {"mlp.down_proj.weight": (hidden, inner)}
    if config["model_type"] == "phi3":
        return {"mlp.gate_up_proj.weight": (2 * inner, hidden), **down}
    return {"mlp.gate_proj.weight": (inner, hidden), "mlp.up_proj.weight": (inner, hidden), **down}


def random_weights(name: str, config: Config) -> Weights:
    """Reproducible values: each tensor has a stream of its own, named after it."""
    return {
        tensor: _values(f"{name}/{tensor}", tensor, shape, config)
        for tensor, shape in tensor_shapes(config).items()
    }


def _values(
    seed: str, tensor: str, shape: tuple[int, ...], config: Config
) -> npt.NDArray[np.float32]:
    stream = NamedStream(seed)
    if tensor.endswith("norm.weight"):
        return _exact(stream.uniform(-0.5, 0.5, shape) + _norm_centre(tensor, config))
    if tensor.endswith(".bias"):
        return _exact(stream.normal(1.0, shape))
    deviation = _gain(tensor) / math.sqrt(shape[1])
    values = stream.normal(deviation, shape)
    # Rows that do not average zero make the minima of block types matter.
    return _exact(values + stream.normal(0.2 * deviation, (shape[0], 1)))


def _norm_centre(tensor: str, config: Config) -> float:
    if config["model_type"] != "gemma3_text":
        return 1.0
    # Gemma multiplies by 1 + w. After a branch the norm decides what the branch adds, here enough
    # that the scaled embedding does not drown it.
    return 1.5 if ".post_" in tensor else 0.0


def _gain(tensor: str) -> float:
    """How much larger or smaller the outputs of a matrix are than its inputs."""
    if any(part in tensor for part in ("embed_tokens", "lm_head")):
        return 3.0  # logits of a few units, tied or not
    if any(part in tensor for part in ("q_proj", "k_proj", "qkv_proj")):
        return 1.25  # attention that chooses, so that positions and windows matter
    if any(part in tensor for part in ("o_proj", "down_proj")):
        return 0.35  # branches smaller than the residual, so that errors do not grow with depth
    return 1.0


def _exact(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The nearest values that bfloat16 and float16 both hold."""
    bits = values.astype("<f4").view(np.uint32)
    rounded = (bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)
    exact = rounded.view(np.float32)
    return np.where(np.abs(exact) < _SMALLEST, np.float32(0.0), exact).astype(np.float32)
