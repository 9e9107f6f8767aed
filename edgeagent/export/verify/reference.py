"""The source model computed independently: numpy, float32, straight from the file.

Weights are dequantized by the `gguf` library, not by this package's own block code, rows are taken
in the order of the file, and rotary pairs as ggml defines them; so a mistake in the exporter cannot
hide in its own check. Works layer by layer: memory is one dequantized layer and the activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edgeagent.export.checkpoint.protocol import TensorSource
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.decoder.weights import LayerWeights, Matrix, Vector
from edgeagent.export.verify.dequantize import float_rows

Floats = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]
OnInput = Callable[[str, Floats], None]
"""Told the tensor of a matrix and its inputs `(tokens, in_features)`."""

_ACTIVATION_ROWS = 16
_GELU_CUBIC = np.float32(0.044715)
_GELU_SLOPE = np.float32((2 / np.pi) ** 0.5)


class ReferenceDecoder:
    """A decoder in float32; slow, small, and as plain as its definition."""

    def __init__(
        self, source: TensorSource, spec: DecoderSpec, *, on_input: OnInput | None = None
    ) -> None:
        """Prepare.

        Args:
            source: The checkpoint.
            spec: What it computes.
            on_input: Told the inputs of every matrix, for a calibration.
        """
        self._source = source
        self._spec = spec
        self._on_input = on_input or (lambda _tensor, _values: None)

    def hidden_states(
        self, windows: Sequence[Tokens], on_layer: Callable[[], None] = lambda: None
    ) -> list[Floats]:
        """Run windows of tokens.

        Args:
            windows: Each `(tokens,)`, run on its own from position 0.
            on_layer: Called after each block.

        Returns:
            Final states, normed, `(tokens, hidden)` float32 of every window.
        """
        weights = self._spec.weights
        state = self._rows(weights.embedding, np.concatenate(windows))
        state *= np.float32(self._spec.embedding_scale)
        ends = np.cumsum([len(window) for window in windows])
        for index, layer in enumerate(weights.layers):
            state = self._layer(index, layer, state, ends)
            self._source.release()
            on_layer()
        return np.split(self._norm(state, weights.output_norm), ends[:-1])

    def head_rows(self, start: int, stop: int) -> Floats:
        """Rows of the head, `(stop - start, hidden)`: the logits are `hidden @ rows.T`."""
        weights = self._spec.weights
        return self._rows(weights.head or weights.embedding, slice(start, stop))

    def observe_head(self, hidden: Floats) -> None:
        """Tell `on_input` of the head's inputs."""
        weights = self._spec.weights
        self._on_input((weights.head or weights.embedding).tensor, hidden)

    def _layer(
        self, index: int, layer: LayerWeights, state: Floats, ends: npt.NDArray[np.intp]
    ) -> Floats:
        """One block on the tokens of all windows, which end where `ends` says."""
        normed = self._norm(state, layer.attention_norm)
        projected = []
        for matrix, bias in (
            (layer.q, layer.q_bias),
            (layer.k, layer.k_bias),
            (layer.v, layer.v_bias),
        ):
            projected.append(self._product(matrix, normed) + self._vector(bias))
        each = zip(*(np.split(values, ends[:-1]) for values in projected), strict=True)
        attended = np.concatenate([self._attend(index, layer, *window) for window in each])
        delta = self._product(layer.o, attended)
        state = state + self._post_norm(delta, layer.attention_post_norm)
        normed = self._norm(state, layer.mlp_norm)
        activate = _silu if self._spec.activation == "silu" else _gelu_tanh
        product = self._product(layer.gate, normed)
        for start in range(0, len(product), _ACTIVATION_ROWS):  # pieces that stay in the cache
            piece = product[start : start + _ACTIVATION_ROWS]
            piece[...] = activate(piece)
        product *= self._product(layer.up, normed)
        delta = self._product(layer.down, product)
        return state + self._post_norm(delta, layer.mlp_post_norm)

    def _product(self, matrix: Matrix, inputs: Floats) -> Floats:
        self._on_input(matrix.tensor, inputs)
        product: Floats = inputs @ self._rows(matrix).T
        return product

    def _attend(
        self, index: int, layer: LayerWeights, query: Floats, key: Floats, value: Floats
    ) -> Floats:
        """Causal grouped-query attention on `(tokens, width)` projections."""
        spec, count = self._spec, len(query)
        queries = query.reshape(count, spec.heads, spec.head_dim)
        keys = key.reshape(count, spec.kv_heads, spec.head_dim)
        values = value.reshape(count, spec.kv_heads, spec.head_dim)
        if layer.q_norm is not None and layer.k_norm is not None:
            queries, keys = self._norm(queries, layer.q_norm), self._norm(keys, layer.k_norm)
        interleaved = layer.q.neighbour_pairs > 0
        queries = self._rotate(index, queries, interleaved=interleaved)
        keys = self._rotate(index, keys, interleaved=interleaved)
        hidden_from = np.triu(np.ones((count, count), dtype=bool), 1)
        window = spec.layers[index].window
        if window is not None:
            hidden_from |= np.tril(np.ones((count, count), dtype=bool), -window)
        attended = np.empty_like(queries)
        for head in range(spec.heads):
            group = head * spec.kv_heads // spec.heads
            scores = queries[:, head] @ keys[:, group].T
            scores *= np.float32(spec.attention_scale)
            scores[hidden_from] = -np.inf
            scores -= scores.max(axis=1, keepdims=True)
            weights = np.exp(scores)
            weights /= weights.sum(axis=1, keepdims=True)
            attended[:, head] = weights @ values[:, group]
        return attended.reshape(count, spec.q_width)

    def _rotate(self, index: int, heads: Floats, *, interleaved: bool) -> Floats:
        """Rotate pairs of `(tokens, heads, head_dim)` by position, in the file's pair order."""
        where = self._spec.layers[index].rotary
        if where is None:
            return heads
        rotary = self._spec.rotaries[where]
        pairs = len(rotary.frequencies)
        angles = np.arange(len(heads))[:, None, None] * np.array(rotary.frequencies)
        cos = (np.cos(angles) * rotary.magnitude).astype(np.float32)
        sin = (np.sin(angles) * rotary.magnitude).astype(np.float32)
        rotated = heads.copy()
        if interleaved:
            part = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        else:
            part = slice(0, pairs), slice(pairs, 2 * pairs)
        first, second = heads[..., part[0]], heads[..., part[1]]
        rotated[..., part[0]] = first * cos - second * sin
        rotated[..., part[1]] = first * sin + second * cos
        return rotated

    def _norm(self, state: Floats, gain: Vector) -> Floats:
        mean_square = np.square(state).mean(axis=-1, keepdims=True)
        root = np.sqrt(mean_square + np.float32(self._spec.rms_epsilon))
        normed: Floats = state / root * self._vector(gain)
        return normed

    def _post_norm(self, delta: Floats, gain: Vector | None) -> Floats:
        return delta if gain is None else self._norm(delta, gain)

    def _vector(self, vector: Vector | None) -> Floats:
        if vector is None:
            return np.zeros(1, dtype=np.float32)
        kind = self._source.tensors[vector.tensor].type
        values = float_rows(self._source.raw(vector.tensor), kind).reshape(-1)
        return values + np.float32(vector.plus)

    def _rows(self, matrix: Matrix, rows: slice | Tokens | None = None) -> Floats:
        """Rows of a matrix as `(rows, in_features)` float32, in the order of the file."""
        raw = self._source.raw(matrix.tensor)[matrix.first_row : matrix.first_row + matrix.rows]
        return float_rows(
            raw if rows is None else raw[rows], self._source.tensors[matrix.tensor].type
        )


def _silu(values: Floats) -> Floats:
    with np.errstate(over="ignore"):  # exp of a large number: the gate is closed
        opened: Floats = values / (1 + np.exp(-values))
    return opened


def _gelu_tanh(values: Floats) -> Floats:
    inner = _GELU_SLOPE * (values + _GELU_CUBIC * values * values * values)
    opened: Floats = np.float32(0.5) * values * (1 + np.tanh(inner))
    return opened
