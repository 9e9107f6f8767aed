"""The decoder graph that onnxruntime-genai runs.

Per block: RMS norm, fused QKV, `GroupQueryAttention` with rotary positions and KV cache, output
projection, RMS norm, gate and up, SiLU product, down; residual additions live in the norms.
Activations are two-dimensional, `(batch · seq, width)`, except around attention: so a linear layer
with corrections is one `MatMulNBits` and one `Gemm` that adds into its output. The block sums that
the `Gemm` multiplies are shared by the projections of an input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto, helper

from edgeagent.export.graph.nodes import GraphNodes
from edgeagent.export.graph.stored import StoredDecoder, StoredLayer, StoredLinear
from edgeagent.export.pack.storage import CORRECTION_BLOCK
from edgeagent.export.shape import DecoderShape

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

_BATCH, _SEQ, _PAST, _TOTAL = "batch", "seq", "past_seq", "total_seq"


class _Input:
    """A `(tokens, width)` value that several linear layers read, with its block sums."""

    def __init__(self, value: str, width: int) -> None:
        self.value = value
        self.width = width
        self.block_sums: str | None = None


class DecoderGraph:
    """Builds one decoder model over weights that are already stored."""

    def __init__(self, shape: DecoderShape, stored: StoredDecoder, accuracy_level: int) -> None:
        """Prepare to build.

        Args:
            shape: Of the decoder.
            stored: Its weights.
            accuracy_level: Of `MatMulNBits`; 4 computes with activations rounded to 8 bits.
        """
        self._shape = shape
        self._stored = stored
        self._accuracy_level = accuracy_level
        self._graph = GraphNodes()
        self._shapes: dict[int, str] = {}

    def build(self, *, all_positions: bool, producer_version: str) -> ModelProto:
        """Build the model.

        Args:
            all_positions: Whether logits are `(batch, seq, vocab)`; else only the last position
                is computed, `(batch, 1, vocab)`, which saves a quarter of a prefill.
            producer_version: Version of edgeagent.
        """
        shape, graph = self._shape, self._graph
        self._attention_lengths()
        residual = self._embed()
        delta: str | None = None
        for index, layer in enumerate(self._stored.layers):
            residual, delta = self._block(index, layer, residual, delta)
        hidden, _ = self._norm("output_norm", self._stored.output_norm, residual, delta)
        hidden = graph.node("Reshape", [hidden, self._three_axes(shape.hidden)], "output_norm/3d")
        if not all_positions:
            last = [hidden, graph.integers(-1), graph.integers(1 << 31), graph.integers(1)]
            hidden = graph.node("Slice", last, "last_position")
        self._head(hidden)
        positions: str | int = _SEQ if all_positions else 1
        return graph.model(
            "decoder",
            self._inputs(),
            self._outputs(positions),
            self._stored.initializers,
            producer_version,
        )

    def _head(self, hidden: str) -> None:
        """Logits of `(batch, positions, hidden)` as the graph's output."""
        graph, head = self._graph, self._stored.head
        if head.corrections is None:
            self._matmul(head, hidden, output="logits")
            return
        width = self._shape.hidden
        flat = graph.node("Reshape", [hidden, graph.integers(-1, width)], "head/2d")
        logits = self._linear(head, _Input(flat, width))
        positions = graph.node("Shape", [hidden], "head/positions", end=2)
        sizes = [positions, graph.integers(head.out_features)]
        shape = graph.node("Concat", sizes, "head/shape", axis=0)
        graph.node("Reshape", [logits, shape], "head/3d", outputs=["logits"])

    def _inputs(self) -> list[ValueInfoProto]:
        return [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [_BATCH, _SEQ]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [_BATCH, _TOTAL]),
            *(self._cache(f"past_key_values.{name}", _PAST) for name in self._cache_names()),
        ]

    def _outputs(self, positions: str | int) -> list[ValueInfoProto]:
        logits: list[str | int | None] = [_BATCH, positions, self._shape.vocab]
        return [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits),
            *(self._cache(f"present.{name}", _TOTAL) for name in self._cache_names()),
        ]

    def _cache_names(self) -> list[str]:
        layers = range(self._shape.layers)
        return [f"{index}.{part}" for index in layers for part in ("key", "value")]

    def _cache(self, name: str, length: str) -> ValueInfoProto:
        dims: list[str | int | None] = [
            _BATCH,
            self._shape.kv_heads,
            length,
            self._shape.head_dim,
        ]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)

    def _attention_lengths(self) -> None:
        """Values `seqlens_k` (last position of each sequence) and `total_len`, both int32."""
        graph, one = self._graph, self._graph.integer(1)
        lengths = graph.node(
            "ReduceSum", ["attention_mask", graph.integers(1)], "lengths/sum", keepdims=0
        )
        last = graph.node("Sub", [lengths, one], "lengths/last")
        to_int32 = {"to": TensorProto.INT32}
        graph.node("Cast", [last], "lengths/seqlens_k", outputs=["seqlens_k"], **to_int32)
        sizes = graph.node("Shape", ["attention_mask"], "lengths/mask_shape")
        total = graph.node("Gather", [sizes, one], "lengths/total")
        graph.node("Cast", [total], "lengths/total_len", outputs=["total_len"], **to_int32)
        graph.node("Shape", ["input_ids"], "ids_shape", outputs=["ids_shape"])

    def _three_axes(self, width: int) -> str:
        """The shape `(batch, seq, width)` as a value, made on first use."""
        if width not in self._shapes:
            parts = ["ids_shape", self._graph.integers(width)]
            self._shapes[width] = self._graph.node("Concat", parts, f"shape_{width}", axis=0)
        return self._shapes[width]

    def _embed(self) -> str:
        """Token embeddings as `(tokens, hidden)`."""
        graph, stored, width = self._graph, self._stored.embedding, self._shape.hidden
        ids = graph.node("Reshape", ["input_ids", graph.integers(-1)], "embedding/ids")
        value = graph.node(
            "GatherBlockQuantized",
            [stored.quants, ids, stored.scales],
            "embedding/gather",
            bits=stored.storage.bits,
            block_size=stored.storage.block_len,
            gather_axis=0,
            quantize_axis=1,
        )
        if stored.corrections is None:
            return value
        corrections = graph.node("Gather", [stored.corrections, ids], "embedding/corrections")
        corrections = graph.node(
            "Unsqueeze", [corrections, graph.integers(-1)], "embedding/corrections/3d"
        )
        value = graph.node("Reshape", [value, self._by_block(width)], "embedding/by_block")
        value = graph.node("Add", [value, corrections], "embedding/add")
        return graph.node("Reshape", [value, graph.integers(-1, width)], "embedding/2d")

    def _by_block(self, width: int) -> str:
        """The shape `(tokens, width / 32, 32)`."""
        return self._graph.integers(-1, width // CORRECTION_BLOCK, CORRECTION_BLOCK)

    def _block(
        self, index: int, layer: StoredLayer, residual: str, delta: str | None
    ) -> tuple[str, str]:
        prefix, graph = f"layers.{index}", self._graph
        normed, residual = self._norm(
            f"{prefix}.attention/norm_node", layer.attention_norm, residual, delta
        )
        attended = self._attention(index, layer, _Input(normed, self._shape.hidden))
        delta = self._linear(layer.attention_output, _Input(attended, self._shape.q_width))
        normed, residual = self._norm(f"{prefix}.mlp/norm_node", layer.mlp_norm, residual, delta)
        mlp_input = _Input(normed, self._shape.hidden)
        gate = self._linear(layer.gate, mlp_input)
        up = self._linear(layer.up, mlp_input)
        # With alpha 1, x · sigmoid(alpha · x) is SiLU in one operator.
        silu = graph.node("QuickGelu", [gate], f"{prefix}.mlp/silu", alpha=1.0)
        product = graph.node("Mul", [silu, up], f"{prefix}.mlp/product")
        return residual, self._linear(layer.down, _Input(product, self._shape.intermediate))

    def _norm(self, name: str, gain: str, residual: str, delta: str | None) -> tuple[str, str]:
        """RMS norm of `residual + delta`; returns the normed value and the sum."""
        epsilon = self._shape.rms_epsilon
        if delta is None:
            normed = self._graph.node(
                "SimplifiedLayerNormalization", [residual, gain], name, epsilon=epsilon, axis=-1
            )
            return normed, residual
        outputs = [f"{name}/output", "", "", f"{name}/residual"]
        self._graph.node(
            "SkipSimplifiedLayerNormalization",
            [residual, delta, gain],
            name,
            outputs=outputs,
            epsilon=epsilon,
        )
        return outputs[0], outputs[3]

    def _attention(self, index: int, layer: StoredLayer, source: _Input) -> str:
        shape, graph = self._shape, self._graph
        name = f"layers.{index}.attention"
        projected = [
            graph.node(
                "Reshape",
                [self._linear(linear, source), self._three_axes(linear.out_features)],
                f"{linear.name}/3d",
            )
            for linear in layer.qkv
        ]
        past = [f"past_key_values.{index}.key", f"past_key_values.{index}.value"]
        attended = graph.node(
            "GroupQueryAttention",
            [
                *projected,
                *[""] * (3 - len(projected)),  # a fused projection is the query input alone
                *past,
                "seqlens_k",
                "total_len",
                self._stored.cos_cache,
                self._stored.sin_cache,
            ],
            f"{name}/gqa",
            outputs=[f"{name}/gqa/output", f"present.{index}.key", f"present.{index}.value"],
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            scale=shape.head_dim**-0.5,
            do_rotary=1,
            rotary_interleaved=0,
        )
        flat = graph.integers(-1, shape.q_width)
        return graph.node("Reshape", [attended, flat], f"{name}/gqa/2d")

    def _linear(self, linear: StoredLinear, source: _Input) -> str:
        """A linear layer on `(tokens, in)`, corrected where its storage says so."""
        product = self._matmul(linear, source.value)
        if linear.corrections is None:
            return product
        return self._graph.node(
            "Gemm",
            [self._block_sums(source), linear.corrections, product],
            f"{linear.name}/correct",
            transB=1,
        )

    def _matmul(self, linear: StoredLinear, source: str, output: str | None = None) -> str:
        inputs = [source, linear.quants, linear.scales]
        if linear.bias is not None:
            inputs += ["", "", linear.bias]
        return self._graph.node(
            "MatMulNBits",
            inputs,
            f"{linear.name}/matmul",
            outputs=None if output is None else [output],
            K=linear.in_features,
            N=linear.out_features,
            bits=linear.storage.bits,
            block_size=linear.storage.block_len,
            accuracy_level=self._accuracy_level,
        )

    def _block_sums(self, source: _Input) -> str:
        """Sums over each block of 32 inputs, `(tokens, width / 32)`, made once per input."""
        if source.block_sums is None:
            name = f"{source.value}/block_sums"
            blocks = self._graph.node(
                "Reshape", [source.value, self._by_block(source.width)], f"{name}/by_block"
            )
            source.block_sums = self._graph.node(
                "ReduceSum", [blocks, self._graph.integers(2)], name, keepdims=0
            )
        return source.block_sums
