"""Rotary embeddings of a GGUF that most families state alike.

Keys: `docs/gguf.md` of ggml; what llama.cpp derives instead of reading is in the family's file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.blocks import dequantize
from edgeagent.export.checkpoint.gguf.checkpoint import GGUFCheckpoint
from edgeagent.export.decoder.rotary import inverse_frequencies, rotary, yarn
from edgeagent.export.decoder.spec import Rotary
from edgeagent.export.families.sizes import (
    Positions,
    Sizes,
    check_range,
    even_positions,
    package_context_len,
)

ROPE_FREQS = "rope_freqs.weight"
"""Divisors of the rotary frequencies; Llama 3.1 and later have them."""


def gguf_positions(gguf: GGUFCheckpoint, sizes: Sizes, context_len: int | None) -> Positions:
    """One rotary embedding for all blocks, and the window that the file states, if any."""
    return even_positions(
        sizes,
        gguf_rotary(gguf, sizes),
        package_context_len(sizes, context_len),
        gguf.get_int(f"{gguf.architecture}.attention.sliding_window", None),
    )


def gguf_rotary(gguf: GGUFCheckpoint, sizes: Sizes) -> Rotary:
    """The rotary embedding with linear scaling, YaRN or Llama 3's divisors, as the file says.

    Raises:
        UnsupportedError: It is scaled in another way.
        DamagedFileError: A factor makes no sense.
    """
    prefix = gguf.architecture
    kind = gguf.get_str(f"{prefix}.rope.scaling.type", "none")
    if kind == "yarn":
        original = gguf.get_int(f"{prefix}.rope.scaling.original_context_length")
        check_range(gguf.path, "its original context", original, below=1 << 24)
        return yarn(
            sizes.rope_base,
            sizes.rotated,
            factor=_factor(gguf),
            original_context_len=original,
            magnitude=gguf.get_float(f"{prefix}.rope.scaling.attn_factor", None),
        )
    if kind not in {"none", "linear", "longrope"}:  # the factors of LongRoPE are tensors
        raise UnsupportedError(
            f"{gguf.path} scales its rotary positions by {kind[:40]!r}; linear scaling, Llama 3's,"
            " YaRN and LongRoPE are supported."
        )
    frequencies = inverse_frequencies(sizes.rope_base, sizes.rotated)
    if kind == "linear":
        frequencies = frequencies / _factor(gguf)
    if ROPE_FREQS in gguf.tensors:
        frequencies = frequencies / factor_tensor(gguf, ROPE_FREQS, sizes.rotated // 2)
    return rotary(frequencies)


def _factor(gguf: GGUFCheckpoint) -> float:
    """How far positions are stretched."""
    key = f"{gguf.architecture}.rope.scaling.factor"
    return check_range(gguf.path, key, gguf.get_float(key, 1.0), below=1e6)


def factor_tensor(gguf: GGUFCheckpoint, name: str, size: int) -> npt.NDArray[np.float64]:
    """A vector of positive factors.

    Raises:
        DamagedFileError: It is missing, has another size, or holds something else.
    """
    tensor = gguf.tensor(name)
    if tensor.shape != (size,) or not tensor.type.is_float:
        raise DamagedFileError(f"{gguf.path}: tensor {name} is not a vector of {size} numbers.")
    factors = dequantize(gguf.raw(name), tensor.type, size, source=name).reshape(-1)
    if not (factors > 0).all():
        raise DamagedFileError(f"{gguf.path}: {name} holds a factor that is not above zero.")
    return factors.astype(np.float64)
