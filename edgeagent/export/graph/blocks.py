"""Nodes of one decoder block.

RMS norm, Q, K and V, `GroupQueryAttention` with rotary positions and KV cache, output projection,
RMS norm, gate and up, activation, down; residual additions live in the norms. Activations are
two-dimensional, `(batch · seq, width)`, except around attention: so a linear layer with
corrections is one `MatMulNBits` and one `Gemm` that adds into its output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.graph.linear import LinearInput, LinearNodes
from edgeagent.export.graph.nodes import GraphNodes
from edgeagent.export.graph.stored import StoredDecoder, StoredLayer


@dataclass(frozen=True)
class AttentionInputs:
    """Values that all blocks share.

    Attributes:
        three_axes: Returns the shape `(batch, seq, width)` for a width.
        seqlens_k: Last position of each sequence, `(batch,)` int32.
        total_len: Tokens in the cache with the new ones, int32 scalar.
        has_past: Whether the graph has a KV cache from earlier runs.
    """

    three_axes: Callable[[int], str]
    seqlens_k: str
    total_len: str
    has_past: bool


class BlockNodes:
    """Adds decoder blocks to a graph."""

    def __init__(
        self,
        graph: GraphNodes,
        linear: LinearNodes,
        spec: DecoderSpec,
        stored: StoredDecoder,
        shared: AttentionInputs,
    ) -> None:
        self._graph = graph
        self._linear = linear
        self._spec = spec
        self._stored = stored
        self._shared = shared

    def block(self, index: int, residual: str, delta: str | None) -> tuple[str, str]:
        """One block.

        Args:
            index: Of the block.
            residual: The residual stream, `(tokens, hidden)`.
            delta: What is to be added to it, `None` for nothing.

        Returns:
            The residual stream, and what is to be added to it.
        """
        prefix, graph, spec = f"layers.{index}", self._graph, self._spec
        layer = self._stored.layers[index]
        normed, residual = self.norm(
            f"{prefix}.attention/norm_node", layer.attention_norm, residual, delta
        )
        attended = self._attention(index, layer, LinearInput(normed, spec.hidden))
        delta = self._linear.linear(layer.attention_output, LinearInput(attended, spec.q_width))
        delta = self._post_norm(
            f"{prefix}.attention/post_norm_node", layer.attention_post_norm, delta
        )
        normed, residual = self.norm(f"{prefix}.mlp/norm_node", layer.mlp_norm, residual, delta)
        mlp_input = LinearInput(normed, spec.hidden)
        gate = self._linear.linear(layer.gate, mlp_input)
        up = self._linear.linear(layer.up, mlp_input)
        opened = self._activation(gate, f"{prefix}.mlp/activation")
        product = graph.node("Mul", [opened, up], f"{prefix}.mlp/product")
        delta = self._linear.linear(layer.down, LinearInput(product, spec.intermediate))
        return residual, self._post_norm(f"{prefix}.mlp/post_norm_node", layer.mlp_post_norm, delta)

    def norm(self, name: str, gain: str, residual: str, delta: str | None) -> tuple[str, str]:
        """RMS norm of `residual + delta`; returns the normed value and the sum."""
        if delta is None:
            return self._rms_norm(name, gain, residual), residual
        outputs = [f"{name}/output", "", "", f"{name}/residual"]
        self._graph.node(
            "SkipSimplifiedLayerNormalization",
            [residual, delta, gain],
            name,
            outputs=outputs,
            epsilon=self._spec.rms_epsilon,
        )
        return outputs[0], outputs[3]

    def _rms_norm(self, name: str, gain: str, value: str) -> str:
        epsilon = self._spec.rms_epsilon
        return self._graph.node(
            "SimplifiedLayerNormalization", [value, gain], name, epsilon=epsilon, axis=-1
        )

    def _head_norm(self, name: str, gain: str, value: str) -> str:
        """RMS norm of every head of `(tokens, heads · head_dim)`, as `(.., head_dim)`."""
        shape = self._graph.integers(-1, self._spec.head_dim)
        heads = self._graph.node("Reshape", [value, shape], f"{name}/heads")
        return self._rms_norm(name, gain, heads)

    def _post_norm(self, name: str, gain: str | None, value: str) -> str:
        return value if gain is None else self._rms_norm(name, gain, value)

    def _activation(self, gate: str, name: str) -> str:
        if self._spec.activation == "silu":
            # With alpha 1, x · sigmoid(alpha · x) is SiLU in one operator.
            return self._graph.node("QuickGelu", [gate], name, alpha=1.0)
        return self._graph.node("FastGelu", [gate], name)

    def _attention(self, index: int, layer: StoredLayer, source: LinearInput) -> str:
        spec, graph, shared = self._spec, self._graph, self._shared
        name, where = f"layers.{index}.attention", spec.layers[index]
        values = [self._linear.linear(linear, source) for linear in layer.qkv]
        if layer.qk_norms is not None:
            # The operator's own inputs for these gains have no kernel on CPUs.
            values[:2] = [
                self._head_norm(f"{name}/{part}_norm_node", gain, value)
                for part, gain, value in zip("qk", layer.qk_norms, values, strict=False)
            ]
        projected = [
            graph.node(
                "Reshape",
                [value, shared.three_axes(linear.matrix.out_features)],
                f"{linear.name}/3d",
            )
            for linear, value in zip(layer.qkv, values, strict=True)
        ]
        past = [
            f"past_key_values.{index}.{part}" if shared.has_past else ""
            for part in ("key", "value")
        ]
        inputs = [
            *projected,
            *[""] * (3 - len(projected)),  # a fused projection is the query input alone
            *past,
            shared.seqlens_k,
            shared.total_len,
        ]
        attributes: dict[str, Any] = {
            "num_heads": spec.heads,
            "kv_num_heads": spec.kv_heads,
            "scale": spec.attention_scale,
            "do_rotary": 0 if where.rotary is None else 1,
        }
        if where.rotary is not None:
            inputs += self._stored.rotaries[where.rotary]
        if where.window is not None:
            attributes["local_window_size"] = where.window
        outputs = [f"{name}/gqa/output", f"present.{index}.key", f"present.{index}.value"]
        attended = graph.node(
            "GroupQueryAttention", inputs, f"{name}/gqa", outputs=outputs, **attributes
        )
        return graph.node("Reshape", [attended, graph.integers(-1, spec.q_width)], f"{name}/gqa/2d")
