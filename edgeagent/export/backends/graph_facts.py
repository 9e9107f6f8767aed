"""What a graph that another tool made says about itself: cache, inputs, how weights are stored."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from edgeagent.errors import ExportError
from edgeagent.export.backends.names import CONFIG_NAME, MODEL_NAME
from edgeagent.export.backends.source import group_of
from edgeagent.record.manifest import TensorGroup

_PAST_KEY = re.compile(r"^past_key_values\.\d+\.key$")
_PAST = re.compile(r"^past(?:_key_values)?\.\d+\.\w+$")
_TABLE = re.compile(r"cos_cache|sin_cache|rotary_emb|inv_freq")  # computed, not learned
_ORDER = ("embedding", "attention", "mlp", "head", "norm")
_MIN_WEIGHT_BYTES = 1024
"""Smaller initializers are constants of the graph rather than weights."""


@dataclass(frozen=True)
class GraphFacts:
    """What the runtime and the manifest need to know.

    Attributes:
        inputs: Names of all inputs.
        cache_inputs: Type and `(kv_heads, head_dim)` of each cache input that grows with the
            context, keys and values.
        layers: Number of layers that have such a cache.
        vocab: Width of the logits.
        initializers: Storage of each weight: label, bytes and the group it belongs to.
    """

    inputs: tuple[str, ...]
    cache_inputs: dict[str, tuple[int, int, int]]
    layers: int
    vocab: int
    initializers: tuple[tuple[str, str, int], ...]

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of cache per token of context."""
        return sum(size * heads * width for size, heads, width in self.cache_inputs.values())


def read_package_graph(folder: Path) -> GraphFacts:
    """Read the graph of a package; its configuration says what the graph leaves open.

    Raises:
        ExportError: It is not a decoder with a cache.
    """
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        decoder = config["model"]["decoder"]
        heads, width = int(decoder["num_key_value_heads"]), int(decoder["head_size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"The backend wrote no usable {CONFIG_NAME}.") from error
    return read_graph(folder / MODEL_NAME, kv_heads=heads, head_dim=width)


def read_graph(path: Path, *, kv_heads: int = 0, head_dim: int = 0) -> GraphFacts:
    """Read a graph without its external data.

    Args:
        path: The graph.
        kv_heads: Of cache inputs that leave that axis open.
        head_dim: Likewise.

    Raises:
        ExportError: It is not a decoder with a cache.
    """
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own exceptions
        raise ExportError(f"The backend wrote a graph that cannot be read: {error}") from error
    graph = model.graph
    cache: dict[str, tuple[int, int, int]] = {}
    for value in graph.input:
        if not _PAST.match(value.name):
            continue
        dims = value.type.tensor_type.shape.dim
        size = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).itemsize
        # Recurrent states have no axis that grows, so they cost nothing per token.
        if len(dims) == 4 and not dims[2].dim_value:
            heads, width = dims[1].dim_value or kv_heads, dims[3].dim_value or head_dim
            cache[value.name] = (size, heads, width)
    logits = next((value for value in graph.output if value.name == "logits"), None)
    layers = sum(1 for name in cache if _PAST_KEY.match(name))
    if logits is None or not layers or not all(map(all, cache.values())):
        raise ExportError("The backend wrote a graph that is not a decoder with a cache.")
    return GraphFacts(
        inputs=tuple(value.name for value in graph.input),
        cache_inputs=cache,
        layers=layers,
        vocab=logits.type.tensor_type.shape.dim[-1].dim_value,
        initializers=tuple(_storage(graph)),
    )


def tensor_groups(
    facts: GraphFacts, source_types: Mapping[str, Mapping[str, int]]
) -> tuple[TensorGroup, ...]:
    """Return one record per group and way of storing.

    Args:
        facts: The graph.
        source_types: Number of source tensors by group and type.
    """
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    for group, label, size in facts.initializers:
        sizes[group, label] += size
    # How a group is stored for the most part comes first and counts the source's tensors.
    ranked = sorted(sizes.items(), key=lambda item: (_ORDER.index(item[0][0]), -item[1]))
    counted: set[str] = set()
    groups = []
    for (group, label), size in ranked:
        types = {} if group in counted else dict(source_types.get(group, {}))
        counted.add(group)
        groups.append(
            TensorGroup(
                group=group,
                source_types=types,
                stored_as=label,
                tensors=sum(types.values()),
                size_bytes=size,
                exact=_is_exact(label, types),
            )
        )
    return tuple(groups)


def _storage(graph: Any) -> Iterator[tuple[str, str, int]]:
    """Yield group, label and bytes of each weight, in the order of the nodes that use them."""
    import onnx

    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        bits, block = (_attribute(node, name) for name in ("bits", "block_size"))
        for name in node.input:
            tensor = weights.pop(name, None)
            if tensor is None:
                continue
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            # Types of fewer than eight bits are stored two or more to a byte.
            width = {"int4": 4, "uint4": 4}.get(dtype.name, 8 * dtype.itemsize)
            size = (prod(tensor.dims) * width + 7) // 8
            if (size < _MIN_WEIGHT_BYTES and len(tensor.dims) < 2) or _TABLE.search(name):
                continue
            is_packed = node.op_type in {"MatMulNBits", "GatherBlockQuantized"}
            label = f"int{bits or 4} block {block or 32}" if is_packed else dtype.name
            yield group_of(f"{name} {node.name}"), label, size


def _attribute(node: Any, name: str) -> int | None:
    return next((int(a.i) for a in node.attribute if a.name == name), None)


def _is_exact(label: str, types: Mapping[str, int]) -> bool:
    lossless = {"float32": {"F32", "F16", "BF16"}, "float16": {"F16"}, "bfloat16": {"BF16"}}
    return bool(types) and set(types) <= lossless.get(label, set())
