"""Phi-3, Phi-3.5 mini and Phi-4-mini: fused projections, LongRoPE, partly rotated heads.

LongRoPE has two sets of factors, for texts within the original context and for longer ones. A
graph has one table, so the set is chosen by the context of the package, as llama.cpp chooses it by
the context that it allocates; the usual context of a package is the original one.
"""

from __future__ import annotations

from edgeagent.errors import DamagedFileError
from edgeagent.export.checkpoint.gguf.checkpoint import GGUFCheckpoint
from edgeagent.export.checkpoint.safetensors import HFConfig
from edgeagent.export.decoder.rotary import longrope, longrope_magnitude
from edgeagent.export.families.family import Family
from edgeagent.export.families.folder_positions import (
    folder_positions,
    scaling_kind,
    scaling_section,
)
from edgeagent.export.families.gguf_positions import factor_tensor, gguf_positions
from edgeagent.export.families.sizes import (
    Positions,
    Sizes,
    check_range,
    contradiction,
    even_positions,
    package_context_len,
)
from edgeagent.export.settings import DEFAULT_CONTEXT_LEN

_FACTORS = {"long": "rope_factors_long.weight", "short": "rope_factors_short.weight"}
_LONGROPE_NAMES = frozenset({"longrope", "su", "yarn"})
"""Names that published Phi-3 configurations give to the same scaling."""


def _gguf_positions(gguf: GGUFCheckpoint, sizes: Sizes, context_len: int | None) -> Positions:
    if _FACTORS["short"] not in gguf.tensors:
        return gguf_positions(gguf, sizes, context_len)
    prefix = gguf.architecture
    original = gguf.get_int(f"{prefix}.rope.scaling.original_context_length")
    length, part = _choose(sizes, context_len, original)
    key = f"{prefix}.rope.scaling.attn_factor"
    usual = longrope_magnitude(sizes.native_context_len, original)
    magnitude = check_range(gguf.path, key, gguf.get_float(key, usual), below=100.0)
    factors = factor_tensor(gguf, _FACTORS[part], sizes.rotated // 2)
    embedding = longrope(sizes.rope_base, sizes.rotated, factors.tolist(), magnitude)
    window = gguf.get_int(f"{prefix}.attention.sliding_window", None)
    return even_positions(sizes, embedding, length, window)


def _folder_positions(config: HFConfig, sizes: Sizes, context_len: int | None) -> Positions:
    scaling = scaling_section(config)
    if scaling is None or scaling_kind(scaling) not in _LONGROPE_NAMES:
        return folder_positions(config, sizes, context_len)
    key = "original_max_position_embeddings"
    original = config.get_int(key, None) or scaling.get_int(key)
    length, part = _choose(sizes, context_len, original)
    factors = scaling.get_floats(f"{part}_factor")
    if len(factors) != sizes.rotated // 2 or min(factors) <= 0:
        said = f"{part}_factor is not {sizes.rotated // 2} numbers above zero"
        raise contradiction(config.path, said)
    magnitude = scaling.get_float("attention_factor", None)
    if magnitude is None:
        magnitude = longrope_magnitude(sizes.native_context_len, original)
    check_range(config.path, "attention_factor", magnitude, below=100.0)
    embedding = longrope(sizes.rope_base, sizes.rotated, factors, magnitude)
    return even_positions(sizes, embedding, length, config.get_int("sliding_window", None))


def _choose(sizes: Sizes, context_len: int | None, original: int) -> tuple[int, str]:
    """Context of the package and the set of factors for it."""
    if not 1 < original <= 1 << 24:
        raise DamagedFileError(f"{sizes.path}: its original context is {original} tokens.")
    length = package_context_len(sizes, context_len, min(original, DEFAULT_CONTEXT_LEN))
    return length, "long" if length > original else "short"


FAMILY = Family(
    name="phi3",
    folder_architectures=("Phi3ForCausalLM",),
    runtime_type="phi3",
    fused=True,
    gguf_positions=_gguf_positions,
    folder_positions=_folder_positions,
)
