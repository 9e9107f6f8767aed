"""A thin layer over `onnx.helper` that names nodes and values and knows the operator domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

import edgeagent
from edgeagent.export.graph.external import StoredArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

CONTRIB_DOMAIN = "com.microsoft"
_CONTRIB_OPS = frozenset(
    {
        "FastGelu",
        "GatherBlockQuantized",
        "GroupQueryAttention",
        "MatMulNBits",
        "QuickGelu",
        "SkipSimplifiedLayerNormalization",
    }
)
_ONNX_OPSET = 21
_CONTRIB_OPSET = 1
_IR_VERSION = 10
"""IR of ONNX 1.16, the first with opset 21; every runtime we support reads it."""


class GraphNodes:
    """Collects nodes in execution order, with small constants kept inside the graph."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._defaulted: dict[str, tuple[int | str, ...]] = {}

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        name: str,
        *,
        outputs: Sequence[str] | None = None,
        **attributes: Any,
    ) -> str:
        """Append a node and return its first output, `<name>/output` unless given.

        Empty strings in `inputs` and `outputs` stand for optional ones that are left out.
        """
        produced = list(outputs) if outputs is not None else [f"{name}/output"]
        domain = CONTRIB_DOMAIN if op in _CONTRIB_OPS else ""
        self._nodes.append(
            helper.make_node(op, list(inputs), produced, name=name, domain=domain, **attributes)
        )
        return produced[0]

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """Return the name of a small constant, made on first use."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(value, name)
        return name

    def defaulted_input(self, name: str, dims: tuple[int | str, ...]) -> None:
        """Add a float32 input of the graph that is empty where a run does not give it.

        Args:
            name: Of the input.
            dims: Its shape; axes with a name may have any size, and have none by default.
        """
        self._defaulted[name] = dims

    def integers(self, *values: int) -> str:
        """Return a one-dimensional int64 constant."""
        name = "integers/" + "_".join(str(value) for value in values)
        return self.constant(name, np.array(values, dtype=np.int64))

    def integer(self, value: int) -> str:
        """Return an int64 scalar constant."""
        return self.constant(f"integer/{value}", np.array(value, dtype=np.int64))

    def model(
        self,
        name: str,
        inputs: Sequence[ValueInfoProto],
        outputs: Sequence[ValueInfoProto],
        arrays: Mapping[str, StoredArray],
        location: str,
    ) -> ModelProto:
        """Assemble the model; of the arrays it takes those that a node reads.

        Args:
            name: Of the graph.
            inputs: Of the graph.
            outputs: Of the graph.
            arrays: Weights by name.
            location: Name of the file that holds them.
        """
        read = dict.fromkeys(value for node in self._nodes for value in node.input)
        weights = [arrays[name].tensor(name, location) for name in read if name in arrays]
        constants = [value for name, value in self._constants.items() if name in read]
        # An initializer that is an input as well is a default: a run may give another value.
        given = [
            helper.make_tensor_value_info(input_name, TensorProto.FLOAT, list(dims))
            for input_name, dims in self._defaulted.items()
        ]
        defaults = [_empty(input_name, dims) for input_name, dims in self._defaulted.items()]
        graph = helper.make_graph(
            self._nodes,
            name,
            [*inputs, *given],
            outputs,
            [*weights, *constants, *defaults],
        )
        return helper.make_model(
            graph,
            ir_version=_IR_VERSION,
            producer_name="edgeagent",
            producer_version=edgeagent.__version__,
            opset_imports=[
                helper.make_opsetid("", _ONNX_OPSET),
                helper.make_opsetid(CONTRIB_DOMAIN, _CONTRIB_OPSET),
            ],
        )


def _empty(name: str, dims: tuple[int | str, ...]) -> TensorProto:
    shape = tuple(0 if isinstance(size, str) else size for size in dims)
    return numpy_helper.from_array(np.zeros(shape, dtype=np.float32), name)
