"""Streams the tensors of a GGUF into external data, slice by slice, and names what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError
from edgeagent.export.checkpoint.blocks import dequantize
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.families import Family
from edgeagent.export.graph.external import ExternalData, Region, external_tensor
from edgeagent.export.graph.rotary import half_split_order, rotary_tables
from edgeagent.export.graph.stored import (
    StoredDecoder,
    StoredEmbedding,
    StoredLayer,
    StoredLinear,
)
from edgeagent.export.pack.rows import pack_rows
from edgeagent.export.pack.storage import CORRECTION_BLOCK, Storage, storage_of
from edgeagent.export.shape import DecoderShape
from edgeagent.export.tensors import ROPE_FACTORS, layer_tensor

if TYPE_CHECKING:
    from onnx import TensorProto

_SLICE_WEIGHTS = 1 << 21
"""Weights unpacked at a time: about 12 MB of temporary arrays."""
_SLICE_POSITIONS = 4096


@dataclass(frozen=True)
class _Regions:
    quants: Region
    scales: Region
    corrections: Region | None


class WeightWriter:
    """Writes one decoder; memory use does not depend on the size of the model."""

    def __init__(
        self,
        gguf: GGUFFile,
        family: Family,
        shape: DecoderShape,
        data: ExternalData,
        on_bytes: Callable[[int], None],
    ) -> None:
        """Prepare to write.

        Args:
            gguf: The source, its tensors checked by `check_tensors`.
            family: Its family.
            shape: Its shape.
            data: Where weights go.
            on_bytes: Told the number of source bytes after each slice.
        """
        self._gguf = gguf
        self._family = family
        self._shape = shape
        self._data = data
        self._on_bytes = on_bytes
        self._initializers: list[TensorProto] = []

    def write(self) -> StoredDecoder:
        """Write all weights.

        Raises:
            DamagedFileError: A scale or weight is not a finite number.
        """
        shape = self._shape
        embedding, shared = self._embedding()
        layers = tuple(self._layer(index) for index in range(shape.layers))
        output_norm = self._vector("output_norm.weight", "output_norm")
        head = self._head(shared)
        cos_cache, sin_cache = self._rotary()
        return StoredDecoder(
            embedding=embedding,
            layers=layers,
            output_norm=output_norm,
            head=head,
            cos_cache=cos_cache,
            sin_cache=sin_cache,
            initializers=tuple(self._initializers),
        )

    def _embedding(self) -> tuple[StoredEmbedding, _Regions]:
        tensor = self._gguf.tensors["token_embd.weight"]
        storage = storage_of(tensor.type, source=tensor.name)
        regions = self._matrix([tensor.name], [None], storage)
        rows, width = tensor.shape
        flat = (rows, width * storage.bits // 8)
        stored = StoredEmbedding(
            quants=self._named("embedding/quants", regions.quants, flat),
            scales=self._named("embedding/scales", regions.scales),
            corrections=self._optional("embedding/corrections", regions.corrections),
            storage=storage,
        )
        return stored, regions

    def _head(self, embedding: _Regions) -> StoredLinear:
        """The head; a tied one refers to the embedding's bytes, in the shape it needs."""
        if "output.weight" in self._gguf.tensors:
            return self._linear("head", ["output.weight"])
        tensor = self._gguf.tensors["token_embd.weight"]
        storage = storage_of(tensor.type, source=tensor.name)
        return self._describe("head", embedding, storage, tensor.shape)

    def _layer(self, index: int) -> StoredLayer:
        def tensor(part: str) -> str:
            return layer_tensor(index, f"{part}.weight")

        prefix = f"layers.{index}"
        return StoredLayer(
            attention_norm=self._vector(tensor("attn_norm"), f"{prefix}.attention/norm"),
            qkv=self._qkv(index, f"{prefix}.attention"),
            attention_output=self._linear(f"{prefix}.attention/output", [tensor("attn_output")]),
            mlp_norm=self._vector(tensor("ffn_norm"), f"{prefix}.mlp/norm"),
            gate=self._linear(f"{prefix}.mlp/gate", [tensor("ffn_gate")]),
            up=self._linear(f"{prefix}.mlp/up", [tensor("ffn_up")]),
            down=self._linear(f"{prefix}.mlp/down", [tensor("ffn_down")]),
        )

    def _qkv(self, index: int, prefix: str) -> tuple[StoredLinear, ...]:
        parts = ("attn_q", "attn_k", "attn_v")
        names = [layer_tensor(index, f"{part}.weight") for part in parts]
        biases: Sequence[str | None] = [None, None, None]
        if self._family.qkv_bias:
            biases = [layer_tensor(index, f"{part}.bias") for part in parts]
        orders: Sequence[npt.NDArray[np.intp] | None] = [None, None, None]
        if self._family.interleaved_rope:
            head_dim = self._shape.head_dim
            orders = [
                half_split_order(self._shape.heads, head_dim),
                half_split_order(self._shape.kv_heads, head_dim),
                None,
            ]
        # Q5_0 beside Q8_0 is the same storage and fuses; what differs stays apart.
        if len({self._storage(name) for name in names}) == 1:
            return (self._linear(f"{prefix}/qkv", names, orders, biases),)
        return tuple(
            self._linear(f"{prefix}/{part[-1]}", [name], [order], [bias])
            for part, name, order, bias in zip(parts, names, orders, biases, strict=True)
        )

    def _linear(
        self,
        name: str,
        tensors: Sequence[str],
        orders: Sequence[npt.NDArray[np.intp] | None] | None = None,
        biases: Sequence[str | None] = (),
    ) -> StoredLinear:
        """Write matrices with the same input and storage as one, stacked by rows."""
        storage = self._storage(tensors[0])
        regions = self._matrix(tensors, orders or [None] * len(tensors), storage)
        bias = None
        if any(bias is not None for bias in biases):
            values = [self._floats(bias) for bias in biases if bias is not None]
            bias = self._array(f"{name}/bias", np.concatenate(values))
        rows = sum(self._gguf.tensors[tensor].rows for tensor in tensors)
        in_features = self._gguf.tensors[tensors[0]].in_features
        return self._describe(name, regions, storage, (rows, in_features), bias=bias)

    def _describe(
        self,
        name: str,
        regions: _Regions,
        storage: Storage,
        shape: tuple[int, ...],
        *,
        bias: str | None = None,
    ) -> StoredLinear:
        rows, in_features = shape
        blocks = in_features // storage.block_len
        return StoredLinear(
            name=name,
            quants=self._named(f"{name}/quants", regions.quants),
            scales=self._named(f"{name}/scales", regions.scales, (rows * blocks,)),
            corrections=self._optional(f"{name}/corrections", regions.corrections),
            bias=bias,
            out_features=rows,
            in_features=in_features,
            storage=storage,
        )

    def _matrix(
        self,
        tensors: Sequence[str],
        orders: Sequence[npt.NDArray[np.intp] | None],
        storage: Storage,
    ) -> _Regions:
        infos = [self._gguf.tensors[name] for name in tensors]
        rows, width = sum(info.rows for info in infos), infos[0].in_features
        blocks = width // storage.block_len
        block_bytes = storage.block_len * storage.bits // 8
        regions = _Regions(
            self._data.reserve((rows, blocks, block_bytes), np.uint8),
            self._data.reserve((rows, blocks), np.float32),
            self._data.reserve((rows, width // CORRECTION_BLOCK), np.float32)
            if storage.corrected
            else None,
        )
        step = max(1, _SLICE_WEIGHTS // width)
        first = 0
        for info, order in zip(infos, orders, strict=True):
            raw = self._gguf.raw(info.name)
            for start in range(0, info.rows, step):
                stop = min(start + step, info.rows)
                part = raw[start:stop] if order is None else raw[order[start:stop]]
                packed = pack_rows(part, info.type, width, storage, source=info.name)
                self._data.write(regions.quants, packed.quants, first + start)
                self._data.write(regions.scales, packed.scales, first + start)
                if regions.corrections is not None and packed.corrections is not None:
                    self._data.write(regions.corrections, packed.corrections, first + start)
                self._on_bytes(part.nbytes)
            first += info.rows
        return regions

    def _storage(self, tensor: str) -> Storage:
        return storage_of(self._gguf.tensors[tensor].type, source=tensor)

    def _rotary(self) -> tuple[str, str]:
        """Write the rotary tables; long contexts make them large, so they are sliced too."""
        shape, factors = self._shape, self._rope_factors()
        size = (shape.context_len, shape.head_dim // 2)
        cos, sin = self._data.reserve(size, np.float32), self._data.reserve(size, np.float32)
        for start in range(0, shape.context_len, _SLICE_POSITIONS):
            positions = range(start, min(start + _SLICE_POSITIONS, shape.context_len))
            for region, table in zip(
                (cos, sin), rotary_tables(shape, factors, positions), strict=True
            ):
                self._data.write(region, table, start)
        return self._named("rotary/cos", cos), self._named("rotary/sin", sin)

    def _rope_factors(self) -> npt.NDArray[np.float32] | None:
        if ROPE_FACTORS not in self._gguf.tensors:
            return None
        factors = self._floats(ROPE_FACTORS)
        if not (factors > 0).all():
            raise DamagedFileError(f"{self._gguf.path}: {ROPE_FACTORS} holds a factor below zero.")
        return factors

    def _vector(self, tensor: str, name: str) -> str:
        return self._array(name, self._floats(tensor))

    def _floats(self, tensor: str) -> npt.NDArray[np.float32]:
        """A vector of the source as float32; norms, biases and factors are never quantized."""
        info = self._gguf.tensors[tensor]
        raw = self._gguf.raw(tensor)
        self._on_bytes(raw.nbytes)
        return dequantize(raw, info.type, info.in_features, source=tensor).reshape(-1)

    def _array(self, name: str, values: npt.NDArray[Any]) -> str:
        return self._named(name, self._data.add(values))

    def _optional(self, name: str, region: Region | None) -> str | None:
        return None if region is None else self._named(name, region)

    def _named(self, name: str, region: Region, shape: tuple[int, ...] | None = None) -> str:
        self._initializers.append(external_tensor(name, region, self._data.path.name, shape))
        return name
