"""Gemma 3, the language model: windows in five of six blocks, four norms, scaled embeddings.

Blocks with a window rotate by another base and are never scaled. Gains are stored as `gain - 1` in
a folder and as they are in a GGUF. Source: `modeling_gemma3.py` of transformers; what a GGUF does
not say is as in llama.cpp's `llm_build_gemma3`.
"""

from __future__ import annotations

from dataclasses import replace

from edgeagent.errors import UnsupportedError
from edgeagent.export.checkpoint.gguf.checkpoint import GGUFCheckpoint
from edgeagent.export.checkpoint.safetensors import HFConfig
from edgeagent.export.decoder.rotary import inverse_frequencies, rotary
from edgeagent.export.decoder.spec import LayerSpec, Rotary
from edgeagent.export.families.family import Family
from edgeagent.export.families.folder_positions import SLIDING, config_rotary, scaling_section
from edgeagent.export.families.gguf_positions import gguf_rotary
from edgeagent.export.families.sizes import (
    Positions,
    Sizes,
    alternating_positions,
    check_range,
    contradiction,
    package_context_len,
    useful_window,
)

_PATTERN = 6
_LOCAL_BASE = 10_000.0
_GLOBAL_BASE = 1_000_000.0
_LARGEST_LAYERS = 62
"""The 27B model scales attention by the width of its residual stream instead of its heads'."""

_GLOBAL, _LOCAL = 0, 1

# Of `Gemma3TextConfig` in transformers; the published 4B model states none of them.
_FOLDER_DEFAULTS = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
}


def _gguf_positions(gguf: GGUFCheckpoint, sizes: Sizes, context_len: int | None) -> Positions:
    prefix = gguf.architecture
    base = gguf.get_float(f"{prefix}.rope.freq_base_swa", _LOCAL_BASE)
    pattern = gguf.get_int(f"{prefix}.attention.sliding_window_pattern", _PATTERN)
    length = package_context_len(sizes, context_len)
    window = gguf.get_int(f"{prefix}.attention.sliding_window", None)
    positions = alternating_positions(
        sizes,
        (gguf_rotary(gguf, sizes), _local(sizes, base)),
        length,
        lambda index: _layer((index + 1) % max(pattern, 1) != 0, window, length),
    )
    if sizes.layers == _LARGEST_LAYERS:
        return replace(positions, attention_scale=(sizes.hidden / sizes.heads) ** -0.5)
    return positions


def _folder_positions(config: HFConfig, sizes: Sizes, context_len: int | None) -> Positions:
    for key in ("final_logit_softcapping", "attn_logit_softcapping"):
        if key in config:
            raise UnsupportedError(
                f"{config.path} states {key}, which belongs to Gemma 2; its graph is not supported."
            )
    scaling, base = scaling_section(config), config.get_float("rope_local_base_freq", _LOCAL_BASE)
    if scaling is not None and "full_attention" in scaling:
        local = scaling.section(SLIDING)
        base = local.get_float("rope_theta", base)
        scaling = scaling.section("full_attention")
        sizes = replace(sizes, rope_base=scaling.get_float("rope_theta", sizes.rope_base)).check()
    length = package_context_len(sizes, context_len)
    window = config.get_int("sliding_window", None)
    pattern = config.get_int("sliding_window_pattern", _PATTERN)
    kinds = config.get_strings("layer_types", None)
    if kinds is not None and len(kinds) != sizes.layers:
        said = f"layer_types has {len(kinds)} entries for {sizes.layers} layers"
        raise contradiction(config.path, said)

    def layer_of(index: int) -> LayerSpec:
        slides = (index + 1) % max(pattern, 1) != 0 if kinds is None else kinds[index] == SLIDING
        return _layer(slides, window, length)

    embedding = config_rotary(config, scaling, sizes)
    positions = alternating_positions(sizes, (embedding, _local(sizes, base)), length, layer_of)
    scalar = config.get_float("query_pre_attn_scalar", float(sizes.head_dim))
    check_range(config.path, "query_pre_attn_scalar", scalar, below=1e6)
    return replace(positions, attention_scale=scalar**-0.5)


def _local(sizes: Sizes, base: float) -> Rotary:
    check_range(sizes.path, "the base of its local rotary frequencies", base, below=1e12)
    return rotary(inverse_frequencies(base, sizes.rotated))


def _layer(slides: bool, window: int | None, context_len: int) -> LayerSpec:
    if slides:
        return LayerSpec(_LOCAL, useful_window(window, context_len))
    return LayerSpec(_GLOBAL)


FAMILY = Family(
    name="gemma3",
    folder_architectures=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
    runtime_type="gemma3_text",
    qk_norm=True,
    post_norms=True,
    folder_gain_offset=1.0,
    folder_defaults=_FOLDER_DEFAULTS,
    activation="gelu_tanh",
    scales_embedding=True,
    tied=True,
    rope_base=_GLOBAL_BASE,
    gguf_positions=_gguf_positions,
    folder_positions=_folder_positions,
)
