"""The decoder graph that onnxruntime-genai runs, and the same decoder in parts.

Layout of the whole: https://onnxruntime.ai/docs/genai/howto/build-model.html. The parts are what
the verification runs one after the other, so that it needs memory for one of them only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.graph.blocks import AttentionInputs, BlockNodes
from edgeagent.export.graph.linear import LinearInput, LinearNodes
from edgeagent.export.graph.nodes import GraphNodes
from edgeagent.export.graph.stored import StoredDecoder

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

_BATCH, _SEQ, _PAST, _TOTAL, _TOKENS = "batch", "seq", "past_seq", "total_seq", "tokens"


def whole_decoder(
    spec: DecoderSpec, stored: StoredDecoder, accuracy_level: int, *, all_positions: bool
) -> ModelProto:
    """The decoder with its KV cache.

    Args:
        spec: What it computes.
        stored: Its weights.
        accuracy_level: Of `MatMulNBits`; 4 computes with activations rounded to 8 bits.
        all_positions: Whether logits are `(batch, seq, vocab)`, as speculation needs them; else
            only the last position is computed, `(batch, 1, vocab)`, which saves a quarter of a
            prefill.
    """
    builder = _Builder(spec, stored, accuracy_level)
    graph = builder.graph
    lengths = builder.attention_inputs("input_ids", has_past=True)
    blocks = builder.blocks(lengths)
    residual, delta = builder.embed(), None
    for index in range(len(spec.layers)):
        residual, delta = blocks.block(index, residual, delta)
    hidden, _ = blocks.norm("output_norm_node", stored.output_norm, residual, delta)
    hidden = graph.node("Reshape", [hidden, lengths.three_axes(spec.hidden)], "output_norm/3d")
    if not all_positions:
        last = [hidden, graph.integers(-1), graph.integers(1 << 31), graph.integers(1)]
        hidden = graph.node("Slice", last, "last_position")
    builder.head(hidden)
    positions = _SEQ if all_positions else 1
    past = builder.caches("past_key_values", _PAST)
    return builder.model(
        [_ids(), _mask(), *past],
        [_floats("logits", _BATCH, positions, spec.vocab), *builder.caches("present", _TOTAL)],
    )


def embedding_part(spec: DecoderSpec, stored: StoredDecoder, accuracy_level: int) -> ModelProto:
    """`input_ids (batch, seq)` to `hidden (tokens, hidden)`."""
    builder = _Builder(spec, stored, accuracy_level)
    builder.rename(builder.embed(), "hidden")
    return builder.model([_ids()], [_floats("hidden", _TOKENS, spec.hidden)])


def blocks_part(
    spec: DecoderSpec, stored: StoredDecoder, accuracy_level: int, layers: range
) -> ModelProto:
    """Some blocks on a text of its own, with `attention_mask (1, tokens)`.

    In: `residual (tokens, hidden)` and, behind the first block, `delta` likewise, which is yet to
    be added to it; adding it between parts would round otherwise than the whole does. Out:
    `next_residual` and `next_delta`, or `hidden` behind the output norm.
    """
    builder = _Builder(spec, stored, accuracy_level)
    blocks = builder.blocks(builder.attention_inputs("attention_mask", has_past=False))
    names = ["residual"] if layers.start == 0 else ["residual", "delta"]
    residual, delta = "residual", None if layers.start == 0 else "delta"
    for index in layers:
        residual, delta = blocks.block(index, residual, delta)
    results = {"next_residual": residual, "next_delta": delta or ""}
    if layers.stop == len(spec.layers):
        hidden, _ = blocks.norm("output_norm_node", stored.output_norm, residual, delta)
        results = {"hidden": hidden}
    for name, value in results.items():
        builder.rename(value, name)
    return builder.model(
        [_mask(), *(_floats(name, _TOKENS, spec.hidden) for name in names)],
        [_floats(name, _TOKENS, spec.hidden) for name in results],
    )


def head_part(spec: DecoderSpec, stored: StoredDecoder, accuracy_level: int) -> ModelProto:
    """`hidden (1, tokens, hidden)` to `logits (1, tokens, rows of the head)`."""
    builder = _Builder(spec, stored, accuracy_level)
    builder.head("hidden")
    rows = stored.head.matrix.out_features
    return builder.model(
        [_floats("hidden", 1, _TOKENS, spec.hidden)], [_floats("logits", 1, _TOKENS, rows)]
    )


class _Builder:
    """The pieces that whole and parts are made of."""

    def __init__(self, spec: DecoderSpec, stored: StoredDecoder, accuracy_level: int) -> None:
        self.graph = GraphNodes()
        self._spec = spec
        self._stored = stored
        self._linear = LinearNodes(self.graph, accuracy_level, stored.adapted)
        self._shapes: dict[int, str] = {}

    def blocks(self, shared: AttentionInputs) -> BlockNodes:
        return BlockNodes(self.graph, self._linear, self._spec, self._stored, shared)

    def embed(self) -> str:
        """Token embeddings as `(tokens, hidden)`."""
        graph = self.graph
        ids = graph.node("Reshape", ["input_ids", graph.integers(-1)], "embedding/ids")
        value = self._linear.embedding(self._stored.embedding, ids)
        if self._spec.embedding_scale == 1.0:
            return value
        scale = np.array(self._spec.embedding_scale, dtype=np.float32)
        return graph.node(
            "Mul", [value, graph.constant("embedding/scale", scale)], "embedding/scaled"
        )

    def attention_inputs(self, shape_of: str, *, has_past: bool) -> AttentionInputs:
        """Lengths from the mask; `shape_of` is the input that has the axes `(batch, seq)`."""
        graph, one = self.graph, self.graph.integer(1)
        lengths = graph.node(
            "ReduceSum", ["attention_mask", graph.integers(1)], "lengths/sum", keepdims=0
        )
        last = graph.node("Sub", [lengths, one], "lengths/last")
        int32 = TensorProto.INT32
        seqlens_k = graph.node("Cast", [last], "lengths/seqlens_k", to=int32)
        sizes = graph.node("Shape", ["attention_mask"], "lengths/mask_shape")
        total = graph.node("Gather", [sizes, one], "lengths/total")
        total_len = graph.node("Cast", [total], "lengths/total_len", to=int32)
        shape = graph.node("Shape", [shape_of], "ids_shape")

        def three_axes(width: int) -> str:
            if width not in self._shapes:
                parts = [shape, graph.integers(width)]
                self._shapes[width] = graph.node("Concat", parts, f"shape_{width}", axis=0)
            return self._shapes[width]

        return AttentionInputs(three_axes, seqlens_k, total_len, has_past)

    def head(self, hidden: str) -> None:
        """Logits of `(batch, positions, hidden)` as the graph's output."""
        graph, head, width = self.graph, self._stored.head, self._spec.hidden
        if head.matrix.corrections is None and not head.matrix.storage.is_float:
            self._linear.product(head, hidden, output="logits")
            return
        flat = graph.node("Reshape", [hidden, graph.integers(-1, width)], "head/2d")
        logits = self._linear.linear(head, LinearInput(flat, width))
        positions = graph.node("Shape", [hidden], "head/positions", end=2)
        sizes = [positions, graph.integers(head.matrix.out_features)]
        shape = graph.node("Concat", sizes, "head/shape", axis=0)
        graph.node("Reshape", [logits, shape], "head/3d", outputs=["logits"])

    def rename(self, value: str, output: str) -> None:
        """Give a value the name of a graph output."""
        self.graph.node("Identity", [value], f"{output}/identity", outputs=[output])

    def caches(self, prefix: str, length: str) -> list[ValueInfoProto]:
        """The KV cache as inputs or outputs."""
        spec = self._spec
        return [
            _floats(f"{prefix}.{index}.{part}", _BATCH, spec.kv_heads, length, spec.head_dim)
            for index in range(len(spec.layers))
            for part in ("key", "value")
        ]

    def model(self, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> ModelProto:
        stored = self._stored
        return self.graph.model("decoder", inputs, outputs, stored.arrays, stored.location)


def _ids() -> ValueInfoProto:
    return helper.make_tensor_value_info("input_ids", TensorProto.INT64, [_BATCH, _SEQ])


def _mask() -> ValueInfoProto:
    return helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [_BATCH, _TOTAL])


def _floats(name: str, *dims: str | int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))
