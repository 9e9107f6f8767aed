"""Rotary embeddings of a Hugging Face folder that most families state alike.

Two dialects are read: `rope_theta` and `rope_scaling` of published files, and `rope_parameters`,
which transformers writes since version 5.
"""

from __future__ import annotations

from edgeagent.errors import UnsupportedError
from edgeagent.export.checkpoint.safetensors import HFConfig
from edgeagent.export.decoder.rotary import inverse_frequencies, llama3_divisors, rotary, yarn
from edgeagent.export.decoder.spec import LayerSpec, Rotary
from edgeagent.export.families.sizes import (
    Positions,
    Sizes,
    alternating_positions,
    check_range,
    even_positions,
    package_context_len,
    useful_window,
)

SLIDING = "sliding_attention"
"""What `layer_types` calls a block with a window."""


def folder_positions(config: HFConfig, sizes: Sizes, context_len: int | None) -> Positions:
    """One rotary embedding for all blocks, and a window for all of them, if there is one."""
    window = config.get_int("sliding_window", None)
    if not config.get_bool("use_sliding_window", True):
        window = None
    scaling = scaling_section(config)
    length = package_context_len(sizes, context_len)
    return even_positions(sizes, config_rotary(config, scaling, sizes), length, window)


def opted_in_positions(config: HFConfig, sizes: Sizes, context_len: int | None) -> Positions:
    """As `folder_positions`, but a window only where `use_sliding_window` says so.

    Qwen's files state a window that is not in use; where it is, the first `max_window_layers`
    blocks still attend to everything.
    """
    length = package_context_len(sizes, context_len)
    embedding = config_rotary(config, scaling_section(config), sizes)
    if not config.get_bool("use_sliding_window", False):
        return even_positions(sizes, embedding, length)
    window = useful_window(config.get_int("sliding_window", None), length)
    first = config.get_int("max_window_layers", sizes.layers)
    kinds = config.get_strings("layer_types", None)

    def layer_of(index: int) -> LayerSpec:
        slides = index >= first if kinds is None else kinds[index : index + 1] == [SLIDING]
        return LayerSpec(window=window if slides else None)

    return alternating_positions(sizes, (embedding,), length, layer_of)


def scaling_section(config: HFConfig) -> HFConfig | None:
    """The section that says how rotary positions are scaled, in either dialect."""
    return config.section("rope_parameters", None) or config.section("rope_scaling", None)


def scaling_kind(scaling: HFConfig | None) -> str:
    """How positions are scaled; `default` where they are not."""
    if scaling is None:
        return "default"
    kind = scaling.get_str("rope_type", None)
    return scaling.get_str("type", "default") if kind is None else kind


def config_rotary(config: HFConfig, scaling: HFConfig | None, sizes: Sizes) -> Rotary:
    """The rotary embedding, plain, linear, or scaled as in Llama 3 or by YaRN.

    Args:
        config: `config.json`.
        scaling: The section about it, `None` where there is none.
        sizes: With the base of the frequencies.

    Raises:
        UnsupportedError: It is scaled in another way.
        DamagedFileError: A factor makes no sense.
    """
    frequencies = inverse_frequencies(sizes.rope_base, sizes.rotated)
    kind = scaling_kind(scaling)
    if scaling is None or kind == "default":
        return rotary(frequencies)
    if kind == "linear":
        return rotary(frequencies / _factor(scaling))
    if kind == "llama3":
        low = check_range(
            config.path, "low_freq_factor", scaling.get_float("low_freq_factor"), below=1e6
        )
        high = scaling.get_float("high_freq_factor")
        check_range(config.path, "high_freq_factor - low_freq_factor", high - low, below=1e6)
        original = scaling.get_int("original_max_position_embeddings")
        check_range(config.path, "original_max_position_embeddings", original, below=1 << 24)
        divisors = llama3_divisors(
            frequencies,
            factor=_factor(scaling),
            low_frequency_factor=low,
            high_frequency_factor=high,
            original_context_len=original,
        )
        return rotary(frequencies / divisors)
    if kind == "yarn":
        key = "original_max_position_embeddings"
        original = scaling.get_int(key, sizes.native_context_len)
        return yarn(
            sizes.rope_base,
            sizes.rotated,
            factor=_factor(scaling),
            original_context_len=round(check_range(config.path, key, original, below=1 << 24)),
            fast_turns=check_range(
                config.path, "beta_fast", scaling.get_float("beta_fast", 32.0), below=1e6
            ),
            slow_turns=check_range(
                config.path, "beta_slow", scaling.get_float("beta_slow", 1.0), below=1e6
            ),
            magnitude=scaling.get_float("attention_factor", None),
        )
    raise UnsupportedError(
        f"{config.path} scales its rotary positions by {kind[:40]!r}; linear scaling, Llama 3's,"
        " YaRN and LongRoPE are supported; remove the section to use the model's original context."
    )


def _factor(scaling: HFConfig) -> float:
    key = f"{scaling.prefix}factor"
    return check_range(scaling.path, key, scaling.get_float("factor"), below=1e6)
