"""LoRA adapters as PEFT and llama.cpp write them, and the weights that they are merged into."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter
from tiny_checkpoints import TinyCheckpoint
from tiny_checkpoints.folder import Dtype, write_safetensors

Floats = npt.NDArray[np.float32]
Factors = dict[str, tuple[Floats, Floats]]
"""`(rank, in)` and `(out, rank)` by the name of the tensor that they change."""

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
_GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.qkv_proj": "attn_qkv",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def random_factors(
    checkpoint: TinyCheckpoint, modules: Sequence[str], rank: int, seed: int
) -> Factors:
    """Factors of every layer that is called so, large enough to change what the model says.

    Every value is exact in bfloat16 and float16.
    """
    random = np.random.default_rng(seed)

    def values(shape: tuple[int, ...], deviation: float) -> Floats:
        steps = np.clip(np.round(random.standard_normal(shape) * 16), -127, 127)
        return np.asarray(steps * deviation / 16, dtype=np.float32)

    return {
        name: (values((rank, tensor.shape[1]), 2.0**-4), values((tensor.shape[0], rank), 2.0**-4))
        for name, tensor in checkpoint.weights.items()
        if tensor.ndim == 2 and name.split(".")[-2] in modules
    }


def merged(
    weights: Mapping[str, Floats], factors: Factors, scale: float
) -> dict[str, npt.NDArray[Any]]:
    """The weights of the model that the adapter makes."""
    changed = {
        name: weights[name].astype(np.float64) + scale * (up.astype(np.float64) @ down)
        for name, (down, up) in factors.items()
    }
    return {**weights, **changed}


def write_peft(
    folder: Path, factors: Factors, *, alpha: float, dtype: Dtype = "float32", **config: object
) -> Path:
    """Write what PEFT's `save_pretrained` writes; `config` overrides keys of its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    rank = len(next(iter(factors.values()))[0])
    document = {
        "base_model_name_or_path": "tiny",
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "layer_replication": None,
        "lora_alpha": alpha,
        "lora_dropout": 0.05,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": rank,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": sorted({name.split(".")[-2] for name in factors}),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    } | config
    (folder / "adapter_config.json").write_text(json.dumps(document), encoding="utf-8")
    tensors = {}
    for name, (down, up) in factors.items():
        prefix = f"base_model.model.{name.removesuffix('.weight')}"
        tensors[f"{prefix}.lora_A.weight"] = down
        tensors[f"{prefix}.lora_B.weight"] = up
    write_safetensors(folder / "adapter_model.safetensors", tensors, dtype)
    return folder


def write_gguf_adapter(
    path: Path,
    checkpoint: TinyCheckpoint,
    factors: Factors,
    *,
    alpha: float,
    kind: str = "adapter",
    permuted: bool = False,
) -> Path:
    """Write what llama.cpp's `convert_lora_to_gguf.py` writes.

    Args:
        path: The file.
        checkpoint: The model; its GGUF names the architecture.
        factors: In the order of rows of transformers.
        alpha: Of the adapter.
        kind: `general.type`.
        permuted: Whether the converter reorders the rows of Q and K of this architecture.
    """
    assert checkpoint.gguf_architecture is not None
    writer = GGUFWriter(path, checkpoint.gguf_architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    config = checkpoint.config
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, (down, up) in factors.items():
        if name == "lm_head.weight":
            writer.add_tensor("output.weight.lora_a", down)
            writer.add_tensor("output.weight.lora_b", up)
            continue
        _, _, layer, part, module, _ = name.split(".")
        if permuted and module in heads:
            halves = up.reshape(heads[module], 2, -1, up.shape[1])
            up = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(up.shape)  # noqa: PLW2901
        target = f"blk.{layer}.{_GGUF_NAMES[f'{part}.{module}']}.weight"
        writer.add_tensor(f"{target}.lora_a", down)
        writer.add_tensor(f"{target}.lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rslora_scale(alpha: float, rank: int) -> float:
    """The factor of rank-stabilized LoRA."""
    return alpha / math.sqrt(rank)
