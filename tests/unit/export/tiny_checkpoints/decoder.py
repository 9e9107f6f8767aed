"""The decoders of all families in numpy and float64, straight from a configuration.

A reference that needs no torch: it is compared with the recorded logits of transformers, and gives
those of quantized weights and of a model with one feature turned off.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tiny_checkpoints.weights import Config, Weights, head_dim

Array = npt.NDArray[np.float64]


def decoder_logits(config: Config, weights: Weights, tokens: list[int]) -> Array:
    """The logits of every position.

    Args:
        config: As transformers 5 writes it, with `rope_parameters`.
        weights: By the names of transformers.
        tokens: Token ids.

    Returns:
        `(len(tokens), vocab)`.
    """
    table = {name: tensor.astype(np.float64) for name, tensor in weights.items()}
    residual = table["model.embed_tokens.weight"][tokens]
    if config["model_type"] == "gemma3_text":
        # transformers rounds the factor to float32.
        residual = residual * float(np.float32(config["hidden_size"] ** 0.5))
    for layer in range(config["num_hidden_layers"]):
        residual = _Block(config, table, layer).forward(residual)
    final = _norm(config, residual, table["model.norm.weight"])
    head = table.get("lm_head.weight", table["model.embed_tokens.weight"])
    return _linear(final, head)


class _Block:
    def __init__(self, config: Config, table: dict[str, Array], layer: int) -> None:
        self._config, self._table, self._layer = config, table, layer

    def _get(self, name: str) -> Array:
        return self._table[f"model.layers.{self._layer}.{name}"]

    def forward(self, residual: Array) -> Array:
        config = self._config
        attended = self._attend(_norm(config, residual, self._get("input_layernorm.weight")))
        after_attention = self._get("post_attention_layernorm.weight")
        if config["model_type"] != "gemma3_text":
            residual = residual + attended
            return residual + self._mlp(_norm(config, residual, after_attention))
        residual = residual + _norm(config, attended, after_attention)
        before = self._get("pre_feedforward_layernorm.weight")
        answer = self._mlp(_norm(config, residual, before))
        return residual + _norm(config, answer, self._get("post_feedforward_layernorm.weight"))

    def _attend(self, inputs: Array) -> Array:
        config = self._config
        width, length = head_dim(config), len(inputs)
        query, key, value = (
            part.reshape(length, -1, width).transpose(1, 0, 2) for part in self._qkv(inputs)
        )
        if f"model.layers.{self._layer}.self_attn.q_norm.weight" in self._table:
            query = _norm(config, query, self._get("self_attn.q_norm.weight"))
            key = _norm(config, key, self._get("self_attn.k_norm.weight"))
        rope = _rope(config, self._layer, length)
        if rope is not None:
            query, key = _rotate(query, *rope), _rotate(key, *rope)
        groups = config["num_attention_heads"] // config["num_key_value_heads"]
        key, value = np.repeat(key, groups, axis=0), np.repeat(value, groups, axis=0)
        scale = config.get("query_pre_attn_scalar", width) ** -0.5
        scores = query @ key.transpose(0, 2, 1) * scale
        scores = np.where(_mask(config, self._layer, length), scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        return _linear(
            mixed.transpose(1, 0, 2).reshape(length, -1), self._get("self_attn.o_proj.weight")
        )

    def _qkv(self, inputs: Array) -> list[Array]:
        width = head_dim(self._config)
        if self._config["model_type"] == "phi3":
            fused = _linear(inputs, self._get("self_attn.qkv_proj.weight"))
            first = self._config["num_attention_heads"] * width
            second = first + self._config["num_key_value_heads"] * width
            return [fused[:, :first], fused[:, first:second], fused[:, second:]]
        parts = []
        for name in ("q_proj", "k_proj", "v_proj"):
            part = _linear(inputs, self._get(f"self_attn.{name}.weight"))
            if self._config["model_type"] == "qwen2":
                part = part + self._get(f"self_attn.{name}.bias")
            parts.append(part)
        return parts

    def _mlp(self, inputs: Array) -> Array:
        if self._config["model_type"] == "phi3":
            fused = _linear(inputs, self._get("mlp.gate_up_proj.weight"))
            gate, up = np.split(fused, 2, axis=-1)
        else:
            gate = _linear(inputs, self._get("mlp.gate_proj.weight"))
            up = _linear(inputs, self._get("mlp.up_proj.weight"))
        if self._config.get("hidden_activation") == "gelu_pytorch_tanh":
            inner = math.sqrt(2.0 / math.pi) * (gate + 0.044715 * gate**3)
            activated = 0.5 * gate * (1.0 + np.tanh(inner))
        else:
            activated = gate / (1.0 + np.exp(-gate))
        return _linear(activated * up, self._get("mlp.down_proj.weight"))


def _linear(inputs: Array, weight: Array) -> Array:
    """A product of small matrices; BLAS would wait for threads that other tests keep busy."""
    return np.asarray(np.einsum("ij,kj->ik", inputs, weight))


def _norm(config: Config, values: Array, weight: Array) -> Array:
    scaled = values / np.sqrt(np.mean(values**2, axis=-1, keepdims=True) + config["rms_norm_eps"])
    return scaled * (1.0 + weight if config["model_type"] == "gemma3_text" else weight)


def _mask(config: Config, layer: int, length: int) -> npt.NDArray[np.bool_]:
    """Whether a query (row) sees a key (column): itself and `window - 1` keys before it."""
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    window = config.get("sliding_window")
    kinds = config.get("layer_types")
    slides = window is not None and (kinds is None or kinds[layer] == "sliding_attention")
    return (distance >= 0) & (distance < (window if slides else length))


def _rope(config: Config, layer: int, length: int) -> tuple[Array, float] | None:
    """Angles `(positions, rotated pairs)` and the factor of sines and cosines."""
    if not config.get("no_rope_layers", [1] * (layer + 1))[layer]:
        return None
    parameters: dict[str, Any] = config["rope_parameters"]
    if "full_attention" in parameters:
        parameters = parameters[config["layer_types"][layer]]
    rotated = int(head_dim(config) * parameters.get("partial_rotary_factor", 1.0))
    base = float(parameters["rope_theta"])
    frequencies = base ** -(np.arange(0, rotated, 2) / rotated)
    factor = 1.0
    match parameters["rope_type"]:
        case "linear":
            frequencies = frequencies / parameters["factor"]
        case "llama3":
            frequencies = frequencies / llama3_divisors(frequencies, parameters)
        case "yarn":
            frequencies = frequencies / _yarn_divisors(rotated, base, parameters)
            factor = 0.1 * math.log(parameters["factor"]) + 1.0
        case "longrope":
            original = parameters["original_max_position_embeddings"]
            divisors = "long_factor" if length > original else "short_factor"
            frequencies = frequencies / np.array(parameters[divisors])
            factor = longrope_attention_factor(config)
    return np.arange(length)[:, None] * frequencies, factor


def llama3_divisors(frequencies: Array, parameters: Config) -> Array:
    """What divides each rotary frequency: 1 for short waves, `factor` for long ones."""
    turns = parameters["original_max_position_embeddings"] * frequencies / (2.0 * math.pi)
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray(1.0 / ((1.0 - smooth) / parameters["factor"] + smooth))


def _yarn_divisors(rotated: int, base: float, parameters: Config) -> Array:
    """1 for waves that turn more than 32 times in the original length, `factor` below one turn.

    Between the two, frequencies go over linearly from pair to pair.
    """
    original = parameters["original_max_position_embeddings"]
    pairs = [
        rotated * math.log(original / (turns * 2.0 * math.pi)) / (2.0 * math.log(base))
        for turns in (32.0, 1.0)
    ]
    first, last = max(math.floor(pairs[0]), 0), min(math.ceil(pairs[1]), rotated - 1)
    slowed = np.clip((np.arange(rotated // 2) - first) / (last - first), 0.0, 1.0)
    return np.asarray(1.0 / (slowed / parameters["factor"] + 1.0 - slowed))


def longrope_attention_factor(config: Config) -> float:
    """Factor of sines and cosines, so that attention scores grow by its square."""
    original = config["rope_parameters"]["original_max_position_embeddings"]
    stretch = config["max_position_embeddings"] / original
    return math.sqrt(1.0 + math.log(stretch) / math.log(original)) if stretch > 1.0 else 1.0


def _rotate(heads: Array, angles: Array, factor: float) -> Array:
    """Rotate the first pairs of each head, which lie half the rotated width apart."""
    pairs = angles.shape[1]
    first, second = heads[..., :pairs], heads[..., pairs : 2 * pairs]
    cosine, sine = np.cos(angles) * factor, np.sin(angles) * factor
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return np.concatenate([*turned, heads[..., 2 * pairs :]], axis=-1)
