"""Nodes of linear layers and of the embedding, for every storage that a matrix can have."""

from __future__ import annotations

from collections.abc import Collection

from onnx import TensorProto

from edgeagent.export.graph.nodes import GraphNodes
from edgeagent.export.graph.stored import StoredLinear, StoredMatrix
from edgeagent.export.pack.storage import CORRECTION_BLOCK


class LinearInput:
    """A `(tokens, width)` value that several linear layers read, with its block sums.

    Attributes:
        value: Its name.
        width: Its second axis.
    """

    def __init__(self, value: str, width: int) -> None:
        self.value = value
        self.width = width
        self._block_sums: str | None = None

    def block_sums(self, graph: GraphNodes) -> str:
        """Sums over each block of 32 inputs, `(tokens, width / 32)`, made once per input.

        A reshape and a sum are six times as fast in a prefill as a product with zeros and ones.
        """
        if self._block_sums is None:
            name = f"{self.value}/block_sums"
            blocks = graph.node(
                "Reshape", [self.value, by_block(graph, self.width)], f"{name}/blocks"
            )
            self._block_sums = graph.node(
                "ReduceSum", [blocks, graph.integers(2)], name, keepdims=0
            )
        return self._block_sums


def by_block(graph: GraphNodes, width: int) -> str:
    """The shape `(tokens, width / 32, 32)`."""
    return graph.integers(-1, width // CORRECTION_BLOCK, CORRECTION_BLOCK)


class LinearNodes:
    """Adds linear layers to a graph."""

    def __init__(
        self, graph: GraphNodes, accuracy_level: int, adapted: Collection[str] = ()
    ) -> None:
        """Prepare.

        Args:
            graph: Where nodes go.
            accuracy_level: Of `MatMulNBits`; 4 computes with activations rounded to 8 bits.
            adapted: Names of the linear layers that adapters may change.
        """
        self._graph = graph
        self._accuracy_level = accuracy_level
        self._adapted = adapted
        self._widened: dict[str, str] = {}

    def linear(self, linear: StoredLinear, source: LinearInput) -> str:
        """A linear layer on `(tokens, in)`, corrected where its storage says so."""
        value = self._base(linear, source)
        return self._with_adapter(linear, source, value) if linear.name in self._adapted else value

    def _with_adapter(self, linear: StoredLinear, source: LinearInput, value: str) -> str:
        """Add `(x @ A) @ B`; A and B are inputs that are empty unless an adapter is active."""
        graph, matrix, rank = self._graph, linear.matrix, f"{linear.name}.lora_rank"
        down, up = linear.lora_inputs
        graph.defaulted_input(down, (matrix.in_features, rank))
        graph.defaulted_input(up, (rank, matrix.out_features))
        narrow = graph.node("MatMul", [source.value, down], f"{linear.name}/lora_down")
        return graph.node("Gemm", [narrow, up, value], f"{linear.name}/lora_up")

    def _base(self, linear: StoredLinear, source: LinearInput) -> str:
        matrix, graph = linear.matrix, self._graph
        if matrix.storage.is_float:
            inputs = [source.value, self._float32(matrix.quants, matrix.storage.bits == 16)]
            if linear.bias is not None:
                inputs.append(linear.bias)
            return graph.node("Gemm", inputs, f"{linear.name}/gemm", transB=1)
        if matrix.corrections is None:
            return self.product(linear, source.value)
        # The product goes in as the addend, so the correction costs one operator.
        corrections = self._float32(matrix.corrections, matrix.storage.half_scales)
        inputs = [source.block_sums(graph), corrections, self.product(linear, source.value)]
        return graph.node("Gemm", inputs, f"{linear.name}/correct", transB=1)

    def product(self, linear: StoredLinear, source: str, *, output: str | None = None) -> str:
        """The block-quantized product on `(..., in)`, without correction."""
        matrix = linear.matrix
        if matrix.scales is None:
            raise ValueError(f"{linear.name} is not quantized")
        inputs = [
            source,
            matrix.quants,
            self._float32(matrix.scales, matrix.storage.half_scales),
            matrix.zero_points or "",
            "",
            linear.bias or "",
        ]
        while not inputs[-1]:
            inputs.pop()
        return self._graph.node(
            "MatMulNBits",
            inputs,
            f"{linear.name}/matmul",
            outputs=None if output is None else [output],
            K=matrix.in_features,
            N=matrix.out_features,
            bits=matrix.storage.bits,
            block_size=matrix.storage.block_len,
            accuracy_level=self._accuracy_level,
        )

    def embedding(self, table: StoredMatrix, ids: str) -> str:
        """Rows of a table, `(tokens, width)`, for `(tokens,)` ids."""
        graph, width = self._graph, table.in_features
        half = table.storage.half_scales
        if table.scales is None:
            value = graph.node("Gather", [table.quants, ids], "embedding/gather")
            if table.storage.bits == 16:
                value = graph.node("Cast", [value], "embedding/widen", to=TensorProto.FLOAT)
            return value
        inputs = [table.quants, ids, self._float32(table.scales, half)]
        if table.zero_points is not None:
            inputs.append(table.zero_points)
        value = graph.node(
            "GatherBlockQuantized",
            inputs,
            "embedding/gather",
            bits=table.storage.bits,
            block_size=table.storage.block_len,
            gather_axis=0,
            quantize_axis=1,
        )
        if table.corrections is None:
            return value
        rows = [self._float32(table.corrections, half), ids]
        corrections = graph.node("Gather", rows, "embedding/corrections")
        last = graph.integers(-1)
        corrections = graph.node("Unsqueeze", [corrections, last], "embedding/corrections/3d")
        value = graph.node("Reshape", [value, by_block(graph, width)], "embedding/by_block")
        value = graph.node("Add", [value, corrections], "embedding/add")
        return graph.node("Reshape", [value, graph.integers(-1, width)], "embedding/2d")

    def _float32(self, name: str, is_half: bool) -> str:
        """The array as float32; the runtime folds the cast of a constant while it loads."""
        if not is_half:
            return name
        if name not in self._widened:
            wide = self._graph.node("Cast", [name], f"{name}/widen", to=TensorProto.FLOAT)
            self._widened[name] = wide
        return self._widened[name]
