"""The source model computed independently: numpy, float32, straight from the file.

Weights are dequantized by the `gguf` library, not by this package's own block code, rows are taken
in the order of the file, and rotary pairs as ggml defines them; so a mistake in the exporter cannot
hide in its own check. Works layer by layer: memory is one dequantized layer and the activations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.families import Family
from edgeagent.export.shape import DecoderShape
from edgeagent.export.tensors import ROPE_FACTORS, layer_tensor

Floats = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]

_HEAD_SLICE_WEIGHTS = 1 << 23
"""Weights of the head that are dequantized at a time: 32 MB as float32."""


class ReferenceDecoder:
    """A decoder in float32; slow, small, and as plain as its definition."""

    def __init__(self, gguf: GGUFFile, family: Family, shape: DecoderShape) -> None:
        self._gguf = gguf
        self._family = family
        self._shape = shape

    def hidden_states(self, windows: Sequence[Tokens]) -> Iterator[list[Floats]]:
        """Run windows of tokens; yields after each layer, the last time with the final states.

        Args:
            windows: Each `(tokens,)`, run on its own from position 0.

        Yields:
            States `(tokens, hidden)` float32 of every window; the final ones are normed.
        """
        states = [self._embed(tokens) for tokens in windows]
        for index in range(self._shape.layers):
            self._layer(index, states)
            yield states
        gain = self._tensor("output_norm.weight").reshape(-1)
        yield [self._norm(state, gain) for state in states]

    def logits(self, hidden: Floats) -> Iterator[tuple[int, Floats]]:
        """Logits in slices of the vocabulary.

        Args:
            hidden: Final states `(tokens, hidden)`.

        Yields:
            First token id of the slice, and `(tokens, slice)` float32.
        """
        tied = "output.weight" not in self._gguf.tensors
        name = "token_embd.weight" if tied else "output.weight"
        step = max(1, _HEAD_SLICE_WEIGHTS // self._shape.hidden)
        for start in range(0, self._shape.vocab, step):
            rows = slice(start, min(start + step, self._shape.vocab))
            yield start, hidden @ self._tensor(name, rows).T

    def _embed(self, tokens: Tokens) -> Floats:
        return self._tensor("token_embd.weight", tokens)

    def _layer(self, index: int, states: list[Floats]) -> None:
        """Advance the states of all windows by one layer, in place."""

        def weight(part: str) -> Floats:
            return self._tensor(layer_tensor(index, f"{part}.weight"))

        gain = weight("attn_norm").reshape(-1)
        query, key, value, output = (
            weight(part) for part in ("attn_q", "attn_k", "attn_v", "attn_output")
        )
        biases = [self._bias(index, part) for part in ("attn_q", "attn_k", "attn_v")]
        for at, state in enumerate(states):
            normed = self._norm(state, gain)
            projected = [
                normed @ matrix.T + bias
                for matrix, bias in zip((query, key, value), biases, strict=True)
            ]
            states[at] = state + self._attend(*projected) @ output.T
        del query, key, value, output
        gain = weight("ffn_norm").reshape(-1)
        gate, up, down = (weight(part) for part in ("ffn_gate", "ffn_up", "ffn_down"))
        for at, state in enumerate(states):
            normed = self._norm(state, gain)
            product: Floats = _silu(normed @ gate.T) * (normed @ up.T)
            states[at] = state + product @ down.T

    def _attend(self, query: Floats, key: Floats, value: Floats) -> Floats:
        """Causal grouped-query attention on `(tokens, width)` projections."""
        shape, count = self._shape, len(query)
        queries = self._rotate(query.reshape(count, shape.heads, shape.head_dim))
        keys = self._rotate(key.reshape(count, shape.kv_heads, shape.head_dim))
        values = value.reshape(count, shape.kv_heads, shape.head_dim)
        future = np.triu(np.ones((count, count), dtype=bool), 1)
        attended = np.empty_like(queries)
        for head in range(shape.heads):
            group = head * shape.kv_heads // shape.heads
            scores = queries[:, head] @ keys[:, group].T
            scores *= np.float32(shape.head_dim**-0.5)
            scores[future] = -np.inf
            scores -= scores.max(axis=1, keepdims=True)
            weights = np.exp(scores)
            weights /= weights.sum(axis=1, keepdims=True)
            attended[:, head] = weights @ values[:, group]
        return attended.reshape(count, shape.q_width)

    def _rotate(self, heads: Floats) -> Floats:
        """Rotate pairs of `(tokens, heads, head_dim)` by position, in the file's pair order."""
        half = self._shape.head_dim // 2
        frequencies = self._shape.rope_base ** (-np.arange(half) / half) / self._shape.rope_scale
        if ROPE_FACTORS in self._gguf.tensors:
            frequencies = frequencies / self._tensor(ROPE_FACTORS).reshape(-1)
        angles = np.arange(len(heads))[:, None, None] * frequencies
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        if self._family.interleaved_rope:
            first, second = heads[..., 0::2], heads[..., 1::2]
        else:
            first, second = heads[..., :half], heads[..., half:]
        rotated = np.empty_like(heads)
        turned = (first * cos - second * sin, first * sin + second * cos)
        if self._family.interleaved_rope:
            rotated[..., 0::2], rotated[..., 1::2] = turned
        else:
            rotated[..., :half], rotated[..., half:] = turned
        return rotated

    def _norm(self, state: Floats, gain: Floats) -> Floats:
        mean_square = np.square(state).mean(axis=-1, keepdims=True)
        normed: Floats = state / np.sqrt(mean_square + np.float32(self._shape.rms_epsilon)) * gain
        return normed

    def _bias(self, index: int, part: str) -> Floats:
        if not self._family.qkv_bias:
            return np.zeros(1, dtype=np.float32)
        return self._tensor(layer_tensor(index, f"{part}.bias")).reshape(-1)

    def _tensor(self, name: str, rows: slice | Tokens | None = None) -> Floats:
        """Rows of a tensor as `(rows, in_features)` float32, dequantized by the `gguf` library."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        raw = self._gguf.raw(name)
        if rows is not None:
            raw = raw[rows]
        kind = GGMLQuantizationType(self._gguf.tensors[name].type.ggml_id)
        weights: Floats = dequantize(np.ascontiguousarray(raw), kind).astype(np.float32, copy=False)
        return weights


def _silu(values: Floats) -> Floats:
    with np.errstate(over="ignore"):  # exp of a large number: the gate is closed
        opened: Floats = values / (1 + np.exp(-values))
    return opened
