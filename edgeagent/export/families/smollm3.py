"""SmolLM3: every fourth block knows nothing of positions (NoPE)."""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.export.checkpoint.gguf.checkpoint import GGUFCheckpoint
from edgeagent.export.checkpoint.safetensors import HFConfig
from edgeagent.export.decoder.spec import LayerSpec
from edgeagent.export.families.family import Family
from edgeagent.export.families.folder_positions import config_rotary, scaling_section
from edgeagent.export.families.gguf_positions import gguf_rotary
from edgeagent.export.families.sizes import (
    Positions,
    Sizes,
    alternating_positions,
    contradiction,
    package_context_len,
    useful_window,
)

_INTERVAL = 4
"""A GGUF does not say which blocks have no positions; llama.cpp knows it by heart."""


def _gguf_positions(gguf: GGUFCheckpoint, sizes: Sizes, context_len: int | None) -> Positions:
    length = package_context_len(sizes, context_len)
    rotaries = (gguf_rotary(gguf, sizes),)
    return alternating_positions(sizes, rotaries, length, _every(_INTERVAL))


def _folder_positions(config: HFConfig, sizes: Sizes, context_len: int | None) -> Positions:
    length = package_context_len(sizes, context_len)
    rotaries = (config_rotary(config, scaling_section(config), sizes),)
    # 1 stands for a block that does rotate, whatever the name says.
    rotates = config.get_ints("no_rope_layers", None)
    window = None
    if config.get_bool("use_sliding_window", False):
        window = useful_window(config.get_int("sliding_window", None), length)
    if rotates is None:
        layer_of = _every(config.get_int("no_rope_layer_interval", _INTERVAL))
    else:
        if len(rotates) != sizes.layers:
            said = f"no_rope_layers has {len(rotates)} entries for {sizes.layers} layers"
            raise contradiction(config.path, said)
        layer_of = _listed(rotates)

    def with_window(index: int) -> LayerSpec:
        layer = layer_of(index)
        return LayerSpec(layer.rotary, window if layer.rotary is None else None)

    return alternating_positions(sizes, rotaries, length, with_window)


def _every(interval: int) -> Callable[[int], LayerSpec]:
    return lambda index: LayerSpec(None if interval > 0 and (index + 1) % interval == 0 else 0)


def _listed(rotates: list[int]) -> Callable[[int], LayerSpec]:
    return lambda index: LayerSpec(0 if rotates[index] else None)


FAMILY = Family(
    name="smollm3",
    folder_architectures=("SmolLM3ForCausalLM",),
    runtime_type="smollm3",
    neighbour_pairs=True,
    tied=True,
    rope_base=2_000_000.0,
    gguf_positions=_gguf_positions,
    folder_positions=_folder_positions,
)
