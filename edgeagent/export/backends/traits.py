"""Traits of a model that the tools get wrong or cannot express, read from its `config.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LAYER = re.compile(r"/layers\.(\d+)/")


def read_config(model: Path) -> dict[str, Any]:
    """Read the configuration of a folder that was written for a tool."""
    config: dict[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return config


def short_context(config: Mapping[str, Any]) -> int | None:
    """Return up to how many tokens a model's rotary embedding is one and the same.

    LongRoPE (Phi-3, Phi-4) takes other factors for the whole of a text as soon as that is longer
    than the original context. `None` for all other models.
    """
    rope = config.get("rope_parameters") or config.get("rope_scaling")
    if not isinstance(rope, Mapping) or "longrope" not in (rope.get("rope_type"), rope.get("type")):
        return None
    original = rope.get("original_max_position_embeddings") or config.get(
        "original_max_position_embeddings"
    )
    return original if isinstance(original, int) else None


def windowed_layers(config: Mapping[str, Any], layers: int) -> frozenset[int]:
    """Return the layers that see only the last `sliding_window` tokens."""
    if not config.get("sliding_window") or config.get("use_sliding_window") is False:
        return frozenset()
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        return frozenset(at for at, kind in enumerate(kinds) if kind == "sliding_attention")
    # Qwen2 leaves the first layers without a window; others have it everywhere.
    first = config.get("max_window_layers", 0) if config.get("use_sliding_window") else 0
    return frozenset(range(first, layers))


def restore_windows(graph: Path, config: Mapping[str, Any], layers: int) -> None:
    """Write the sliding window into a graph that the model builder made without it.

    With `windowed_kv_cache=false` the builder of onnxruntime-genai 0.18 leaves
    `local_window_size` of every layer at -1, and the model sees all tokens. With the reduced cache
    the CPU refuses prompts that are longer than the window.
    """
    windowed = windowed_layers(config, layers)
    if not windowed:
        return
    import onnx

    model = onnx.load(graph, load_external_data=False)
    for node in model.graph.node:
        found = _LAYER.search(node.name)
        if node.op_type != "GroupQueryAttention" or not found or int(found[1]) not in windowed:
            continue
        for attribute in node.attribute:
            if attribute.name == "local_window_size":
                attribute.i = int(config["sliding_window"])
    graph.write_bytes(model.SerializeToString())
