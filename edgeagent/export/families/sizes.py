"""The numbers of a decoder as a file states them, checked before anything is built from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.decoder.spec import LayerSpec, Rotary
from edgeagent.export.settings import DEFAULT_CONTEXT_LEN

MIN_CONTEXT_LEN = 64
"""Less cannot hold a question, and the verification needs a few tokens."""

# Far above every model that fits an edge device; they stop absurd numbers, not large models.
MAX_LAYERS = 1024
MAX_HEADS = 1 << 12
MAX_HEAD_DIM = 1 << 10
HEAD_DIM_MULTIPLE = 16
"""Of the width of a head and of its rotated part; onnxruntime's attention refuses others."""
_LIMITS = {
    "layers": MAX_LAYERS,
    "hidden": 1 << 16,
    "intermediate": 1 << 20,
    "heads": MAX_HEADS,
    "kv_heads": MAX_HEADS,
    "native_context_len": 1 << 24,
}


@dataclass(frozen=True)
class Sizes:
    """What a file says of its decoder, the same for all families.

    Attributes:
        path: The file, for messages.
        layers: Number of decoder blocks.
        hidden: Width of the residual stream.
        intermediate: Width of the MLP.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of one head.
        vocab: Rows of the embedding.
        native_context_len: Longest context of the model, tokens.
        rms_epsilon: Of every RMS norm.
        rope_base: Base of the rotary frequencies.
        rotated: Values of a head that are rotated.
    """

    path: Path
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    native_context_len: int
    rms_epsilon: float
    rope_base: float
    rotated: int

    def check(self) -> Sizes:
        """Return these sizes if they can be those of a decoder.

        Raises:
            DamagedFileError: A value is absurd or contradicts another.
            UnsupportedError: The runtime has no kernel for them.
        """
        for name, limit in _LIMITS.items():
            least = MIN_CONTEXT_LEN if name == "native_context_len" else 1
            if not least <= getattr(self, name) <= limit:
                said = f"{name} is {getattr(self, name)}, which is not between {least} and {limit}"
                raise contradiction(self.path, said)
        if self.heads % self.kv_heads:
            said = f"{self.heads} query heads do not share {self.kv_heads} KV heads evenly"
            raise contradiction(self.path, said)
        if not 1 <= self.head_dim <= MAX_HEAD_DIM or self.head_dim % HEAD_DIM_MULTIPLE:
            raise UnsupportedError(
                f"{self.path} has heads of width {self.head_dim}; the runtime needs a multiple of"
                f" {HEAD_DIM_MULTIPLE} of at most {MAX_HEAD_DIM}."
            )
        rotated = f"{self.rotated} of the {self.head_dim} values of a head are rotated"
        if not 2 <= self.rotated <= self.head_dim or self.rotated % 2:
            raise contradiction(self.path, rotated)
        if self.rotated % HEAD_DIM_MULTIPLE:
            raise UnsupportedError(
                f"{self.path} is not supported: {rotated}, and the runtime needs a multiple of"
                f" {HEAD_DIM_MULTIPLE}."
            )
        check_range(self.path, "the epsilon of its norms", self.rms_epsilon, below=1.0)
        check_range(self.path, "the base of its rotary frequencies", self.rope_base, below=1e12)
        return self


@dataclass(frozen=True)
class Positions:
    """How a decoder knows where a token is.

    Attributes:
        rotaries: Its rotary embeddings.
        layers: Which of them, and which window, each block uses.
        attention_scale: Factor on the attention scores.
        context_len: Longest context of the package.
    """

    rotaries: tuple[Rotary, ...]
    layers: tuple[LayerSpec, ...]
    attention_scale: float
    context_len: int


def even_positions(
    sizes: Sizes, rotary: Rotary, context_len: int, window: int | None = None
) -> Positions:
    """Positions of a decoder all of whose blocks are alike."""
    layer = LayerSpec(rotary=0, window=useful_window(window, context_len))
    scale = sizes.head_dim**-0.5
    return Positions((rotary,), (layer,) * sizes.layers, scale, context_len)


def alternating_positions(
    sizes: Sizes,
    rotaries: tuple[Rotary, ...],
    context_len: int,
    layer_of: Callable[[int], LayerSpec],
) -> Positions:
    """Positions of a decoder whose blocks differ; `layer_of` is asked for each index."""
    layers = tuple(layer_of(index) for index in range(sizes.layers))
    return Positions(rotaries, layers, sizes.head_dim**-0.5, context_len)


def package_context_len(sizes: Sizes, asked: int | None, usual: int = DEFAULT_CONTEXT_LEN) -> int:
    """Context of the package: what was asked for or is usual, and never more than the model's."""
    return min(sizes.native_context_len, asked or usual)


def useful_window(window: int | None, context_len: int) -> int | None:
    """The window if it is shorter than the context, else `None`; 0 and less mean no window."""
    return window if window is not None and 0 < window < context_len else None


def check_range(path: Path, what: str, value: float, below: float) -> float:
    """Return a number between 0 and `below`.

    Raises:
        DamagedFileError: It is not.
    """
    if not 0.0 < value < below:
        raise contradiction(path, f"{what} is {value:g}, which is not between 0 and {below:g}")
    return value


def contradiction(path: Path, what: str) -> DamagedFileError:
    """The error for hyperparameters that cannot be true."""
    return DamagedFileError(f"{path} is damaged or not a language model: {what}.")
