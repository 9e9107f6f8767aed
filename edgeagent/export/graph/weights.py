"""Streams the weights of a source into external data, slice by slice, and names what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgeagent.export.checkpoint.blocks import dequantize
from edgeagent.export.checkpoint.protocol import TensorSource
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.decoder.weights import LayerWeights, Matrix, Vector
from edgeagent.export.graph.external import ExternalData, Region, StoredArray
from edgeagent.export.graph.rotary import rotary_tables
from edgeagent.export.graph.stored import StoredDecoder, StoredLayer, StoredLinear, StoredMatrix
from edgeagent.export.pack.policy import Recipe
from edgeagent.export.pack.rows import PackedRows, pack_rows
from edgeagent.export.pack.storage import CORRECTION_BLOCK, Storage, zero_point_bytes

_SLICE_WEIGHTS = 1 << 21
"""Weights unpacked at a time: about 12 MB of temporary arrays."""
_SLICE_POSITIONS = 4096

Importance: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
"""How much errors in each column of a matrix count, by the name of its tensor."""


@dataclass(frozen=True)
class _Regions:
    quants: Region
    scales: Region | None
    zero_points: Region | None
    corrections: Region | None


class WeightWriter:
    """Writes one decoder; memory use does not depend on the size of the model."""

    def __init__(
        self,
        source: TensorSource,
        spec: DecoderSpec,
        recipe: Recipe,
        data: ExternalData,
        *,
        importance: Importance | None = None,
        on_tensor: Callable[[str, int], None] = lambda _tensor, _nbytes: None,
    ) -> None:
        """Prepare to write.

        Args:
            source: The checkpoint, its tensors checked by `check_tensors`.
            spec: What it computes.
            recipe: Precision of its matrices.
            data: Where weights go.
            importance: From a calibration, `None` without one.
            on_tensor: Told the tensor and the number of source bytes after each slice.
        """
        self._source = source
        self._spec = spec
        self._recipe = recipe
        self._data = data
        self._importance = importance or {}
        self._on_tensor = on_tensor
        self._arrays: dict[str, StoredArray] = {}

    def write(self) -> StoredDecoder:
        """Write all weights.

        Raises:
            DamagedFileError: A scale or weight is not a finite number.
        """
        weights = self._spec.weights
        embedding, head = self._embedding_and_head()
        return StoredDecoder(
            embedding=embedding,
            layers=tuple(self._layer(*indexed) for indexed in enumerate(weights.layers)),
            output_norm=self._vector("output_norm", weights.output_norm),
            head=StoredLinear("head", head),
            rotaries=tuple(self._rotary(index) for index in range(len(self._spec.rotaries))),
            arrays=self._arrays,
            location=self._data.path.name,
        )

    def _embedding_and_head(self) -> tuple[StoredMatrix, StoredMatrix]:
        """Embedding and head; where they are one matrix it is stored once, as the head needs it."""
        weights = self._spec.weights
        if weights.head is not None:
            table = self._as_table(self._matrix("embedding", [weights.embedding]))
            return table, self._matrix("head", [weights.head])
        shared = self._matrix("head", [replace(weights.embedding, role="head")])
        return self._as_table(shared), shared

    def _as_table(self, matrix: StoredMatrix) -> StoredMatrix:
        """The same bytes as operands of `GatherBlockQuantized`, which have two axes each."""

        def table(name: str) -> str:
            array = self._arrays[name]
            return self._named(f"{name}/table", array.region, (matrix.out_features, -1))

        return replace(
            matrix,
            quants=table(matrix.quants),
            scales=matrix.scales and table(matrix.scales),
            zero_points=matrix.zero_points and table(matrix.zero_points),
        )

    def _layer(self, index: int, layer: LayerWeights) -> StoredLayer:
        prefix = f"layers.{index}"
        attention, mlp = f"{prefix}.attention", f"{prefix}.mlp"
        qk_norms = None
        if layer.q_norm is not None and layer.k_norm is not None:
            qk_norms = (
                self._vector(f"{attention}/q_norm", layer.q_norm),
                self._vector(f"{attention}/k_norm", layer.k_norm),
            )
        stored = StoredLayer(
            attention_norm=self._vector(f"{attention}/norm", layer.attention_norm),
            qkv=self._qkv(attention, layer),
            qk_norms=qk_norms,
            attention_output=self._linear(f"{attention}/output", layer.o),
            attention_post_norm=self._optional(f"{attention}/post_norm", layer.attention_post_norm),
            mlp_norm=self._vector(f"{mlp}/norm", layer.mlp_norm),
            gate=self._linear(f"{mlp}/gate", layer.gate),
            up=self._linear(f"{mlp}/up", layer.up),
            down=self._linear(f"{mlp}/down", layer.down),
            mlp_post_norm=self._optional(f"{mlp}/post_norm", layer.mlp_post_norm),
        )
        self._source.release()
        return stored

    def _qkv(self, prefix: str, layer: LayerWeights) -> tuple[StoredLinear, ...]:
        parts = (layer.q, layer.k, layer.v)
        biases = [bias for bias in (layer.q_bias, layer.k_bias, layer.v_bias) if bias is not None]
        # Q5_0 beside Q8_0 is the same storage and fuses; what differs stays apart, and so do
        # queries and keys that are normed one by one: splitting costs more than three products.
        if layer.q_norm is None and len({self._storage(part) for part in parts}) == 1:
            name = f"{prefix}/qkv"
            bias = None
            if biases:
                values = np.concatenate([self._floats(each) for each in biases])
                bias = self._array(f"{name}/bias", values)
            return (StoredLinear(name, self._matrix(name, parts), bias),)
        each_bias: Sequence[Vector | None] = biases or [None, None, None]
        return tuple(
            self._linear(f"{prefix}/{part.role}", part, bias)
            for part, bias in zip(parts, each_bias, strict=True)
        )

    def _linear(self, name: str, part: Matrix, bias: Vector | None = None) -> StoredLinear:
        return StoredLinear(name, self._matrix(name, [part]), self._optional(f"{name}/bias", bias))

    def _matrix(self, name: str, parts: Sequence[Matrix]) -> StoredMatrix:
        """Write matrices with the same input and storage as one, stacked by rows."""
        storage, width = self._storage(parts[0]), parts[0].in_features
        total_rows = sum(part.rows for part in parts)
        regions = self._reserve(storage, total_rows, width)
        step = max(1, _SLICE_WEIGHTS // width)
        at_row = 0
        for part in parts:
            info = self._source.tensors[part.tensor]
            raw, order = self._source.raw(part.tensor), part.row_order()
            for start in range(0, part.rows, step):
                stop = min(start + step, part.rows)
                first = part.first_row
                piece = (
                    raw[first + start : first + stop] if order is None else raw[order[start:stop]]
                )
                packed = pack_rows(
                    piece,
                    info.type,
                    width,
                    storage,
                    importance=self._importance.get(part.tensor),
                    source=part.tensor,
                )
                self._write(regions, packed, at_row + start)
                self._on_tensor(part.tensor, piece.nbytes)
            at_row += part.rows
        return self._describe(name, regions, storage, total_rows, width)

    def _reserve(self, storage: Storage, rows: int, width: int) -> _Regions:
        if storage.is_float:
            dtype = np.float16 if storage.bits == 16 else np.float32
            return _Regions(self._data.reserve((rows, width), dtype), None, None, None)
        blocks = width // storage.block_len
        numbers = np.float16 if storage.half_scales else np.float32
        packed = zero_point_bytes(blocks, storage.bits)
        quants = (rows, blocks, storage.block_len * storage.bits // 8)
        return _Regions(
            quants=self._data.reserve(quants, np.uint8),
            scales=self._data.reserve((rows, blocks), numbers),
            zero_points=self._data.reserve((rows, packed), np.uint8)
            if storage.has_zero_points
            else None,
            corrections=self._data.reserve((rows, width // CORRECTION_BLOCK), numbers)
            if storage.corrected
            else None,
        )

    def _write(self, regions: _Regions, packed: PackedRows, at_row: int) -> None:
        pairs = (
            (regions.quants, packed.quants),
            (regions.scales, packed.scales),
            (regions.zero_points, packed.zero_points),
            (regions.corrections, packed.corrections),
        )
        for region, values in pairs:
            if region is not None and values is not None:
                self._data.write(region, values, at_row)

    def _describe(
        self, name: str, regions: _Regions, storage: Storage, rows: int, width: int
    ) -> StoredMatrix:
        def flat(part: str, region: Region | None) -> str | None:
            if region is None:
                return None
            return self._named(f"{name}/{part}", region, (rows * region.shape[1],))

        corrections = None
        if regions.corrections is not None:
            corrections = self._named(f"{name}/corrections", regions.corrections)
        return StoredMatrix(
            quants=self._named(f"{name}/quants", regions.quants),
            scales=flat("scales", regions.scales),
            zero_points=flat("zero_points", regions.zero_points),
            corrections=corrections,
            out_features=rows,
            in_features=width,
            storage=storage,
        )

    def _storage(self, part: Matrix) -> Storage:
        return self._recipe.storage(part, self._source.tensors[part.tensor].type)

    def _rotary(self, index: int) -> tuple[str, str]:
        """Write the rotary tables; long contexts make them large, so they are sliced too."""
        rotary, context_len = self._spec.rotaries[index], self._spec.context_len
        size = (context_len, len(rotary.frequencies))
        cos, sin = self._data.reserve(size, np.float32), self._data.reserve(size, np.float32)
        for start in range(0, context_len, _SLICE_POSITIONS):
            positions = range(start, min(start + _SLICE_POSITIONS, context_len))
            for region, table in zip((cos, sin), rotary_tables(rotary, positions), strict=True):
                self._data.write(region, table, start)
        return self._named(f"rotary.{index}/cos", cos), self._named(f"rotary.{index}/sin", sin)

    def _optional(self, name: str, vector: Vector | None) -> str | None:
        return None if vector is None else self._vector(name, vector)

    def _vector(self, name: str, vector: Vector) -> str:
        return self._array(name, self._floats(vector))

    def _floats(self, vector: Vector) -> npt.NDArray[np.float32]:
        """A vector of the source as float32; norms, biases and factors are never quantized."""
        info, raw = self._source.tensors[vector.tensor], self._source.raw(vector.tensor)
        self._on_tensor(vector.tensor, raw.nbytes)
        values = dequantize(raw, info.type, info.in_features, source=vector.tensor).reshape(-1)
        values = values + np.float32(vector.plus)
        order = vector.order()
        return values if order is None else values[order]

    def _array(self, name: str, values: npt.NDArray[Any]) -> str:
        return self._named(name, self._data.add(values))

    def _named(self, name: str, region: Region, shape: tuple[int, ...] | None = None) -> str:
        dims = region.shape if shape is None else shape
        if dims[-1] == -1:
            dims = (*dims[:-1], prod(region.shape) // prod(dims[:-1]))
        self._arrays[name] = StoredArray(region, dims)
        return name
