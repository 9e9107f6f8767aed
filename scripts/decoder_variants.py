"""Variants of a package's decoder graph, one edit each, for `measure_fusions.py`.

Every variant computes what the shipped graph computes, with other operators over the same weights.
Arrays that a variant needs joined or cut are joined and cut by operators on constants, which the
runtime folds while it loads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_CORRECTION_BLOCK = 32
_CONTRIB = "com.microsoft"


class NotApplicableError(Exception):
    """The graph has nothing that the variant would change."""


class Edit:
    """A decoder graph that is being edited; `done` writes the nodes back in execution order."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = list(model.graph.node)
        self._sizes = {array.name: list(array.dims) for array in model.graph.initializer}
        self._sources = {node.output[0]: node for node in self.nodes}

    def of(self, op_type: str, ending: str = "") -> list[NodeProto]:
        """Nodes of a type; raises `NotApplicableError` if there are none."""
        found = [n for n in self.nodes if n.op_type == op_type and n.name.endswith(ending)]
        if not found:
            raise NotApplicableError(f"there is no {op_type}")
        return found

    def constant(self, name: str, values: Sequence[int]) -> str:
        """A one-dimensional int64 constant."""
        if name not in self._sizes:
            array = np.array(values, dtype=np.int64)
            self.model.graph.initializer.append(numpy_helper.from_array(array, name))
            self._sizes[name] = [len(values)]
        return name

    def size(self, name: str) -> list[int]:
        """Dimensions of an array, also behind the cast that widens it."""
        source = self._sources.get(name)
        return self._sizes[source.input[0] if source is not None else name]

    def replace(self, node: NodeProto, new: Sequence[NodeProto]) -> None:
        """Put other nodes in the place of one."""
        at = next(index for index, each in enumerate(self.nodes) if each is node)
        self.nodes[at : at + 1] = new

    def drop(self, node: NodeProto) -> None:
        """Leave a node out: whoever read its output reads its first input."""
        self.nodes = [each for each in self.nodes if each is not node]
        self.rename(node.output[0], node.input[0])

    def rename(self, old: str, new: str) -> None:
        """Have every reader of one value read another."""
        for each in self.nodes:
            each.input[:] = [new if name == old else name for name in each.input]

    def reader(self, value: str) -> NodeProto | None:
        """The first node that reads a value."""
        return next((node for node in self.nodes if value in node.input), None)

    def done(self) -> ModelProto:
        """The model, its nodes sorted so that each comes behind what it reads."""
        graph = self.model.graph
        waiting = {out: node for node in self.nodes for out in node.output if out}
        ordered: list[NodeProto] = []
        seen: set[int] = set()

        def visit(node: NodeProto) -> None:
            stack = [(node, iter(node.input))]
            while stack:
                current, inputs = stack[-1]
                for name in inputs:
                    source = waiting.get(name)
                    if source is not None and id(source) not in seen:
                        stack.append((source, iter(source.input)))
                        break
                else:
                    stack.pop()
                    if id(current) not in seen:
                        seen.add(id(current))
                        ordered.append(current)

        for node in self.nodes:
            visit(node)
        del graph.node[:]
        graph.node.extend(ordered)
        return self.model


def sigmoid_and_product(edit: Edit) -> None:
    """SiLU as `Sigmoid` and `Mul` instead of one `QuickGelu`."""
    for node in edit.of("QuickGelu"):
        gate, opened, name = node.input[0], node.output[0], node.name
        edit.replace(
            node,
            [
                helper.make_node("Sigmoid", [gate], [f"{name}/sigmoid"], f"{name}/sigmoid"),
                helper.make_node("Mul", [gate, f"{name}/sigmoid"], [opened], f"{name}/mul"),
            ],
        )


def norms_without_addition(edit: Edit) -> None:
    """`Add` and `SimplifiedLayerNormalization` instead of one operator for both."""
    for node in edit.of("SkipSimplifiedLayerNormalization"):
        total = node.output[3] if len(node.output) > 3 else f"{node.name}/sum"
        (epsilon,) = (each.f for each in node.attribute if each.name == "epsilon")
        norm = helper.make_node(
            "SimplifiedLayerNormalization",
            [total, node.input[2]],
            [node.output[0]],
            node.name,
            epsilon=epsilon,
            axis=-1,
        )
        edit.replace(
            node, [helper.make_node("Add", node.input[:2], [total], f"{node.name}/add"), norm]
        )


def block_sums_not_shared(edit: Edit) -> None:
    """Block sums made anew for each linear layer instead of once per input."""
    readers = defaultdict(list)
    sums = {node.output[0]: node for node in edit.of("ReduceSum", "/block_sums")}
    for node in edit.of("Gemm", "/correct"):
        readers[node.input[0]].append(node)
    copied = 0
    for value, found in readers.items():
        blocks = next(node for node in edit.nodes if node.output[0] == sums[value].input[0])
        for index, gemm in enumerate(found[1:]):
            for source in (blocks, sums[value]):
                copy = type(source)()
                copy.CopyFrom(source)
                copy.name = f"{source.name}/copy_{index}"
                if source is not blocks:
                    copy.input[0] = f"{blocks.output[0]}/copy_{index}"
                copy.output[0] = f"{source.output[0]}/copy_{index}"
                edit.nodes.append(copy)
            gemm.input[0] = f"{value}/copy_{index}"
            copied += 1
    if not copied:
        raise NotApplicableError("no block sums are shared")


def corrections_in_three_operators(edit: Edit) -> None:
    """Corrections as `MatMul` and `Add` instead of a `Gemm` that adds into the product."""
    for node in edit.of("Gemm", "/correct"):
        sums, corrections, product = node.input
        name = node.name
        across = helper.make_node("Transpose", [corrections], [f"{name}/across"], f"{name}/across")
        matmul = helper.make_node(
            "MatMul", [sums, f"{name}/across"], [f"{name}/product"], f"{name}/matmul"
        )
        add = helper.make_node("Add", [product, f"{name}/product"], [node.output[0]], f"{name}/add")
        edit.replace(node, [across, matmul, add])


def three_axes_throughout(edit: Edit) -> None:
    """Activations `(batch, seq, width)` everywhere: no `Reshape` around attention."""
    if any(node.op_type == "Gemm" for node in edit.nodes):
        corrections_in_three_operators(edit)
    for node in edit.of("Reshape"):
        if node.name.endswith(("/3d", "/2d")) or node.name == "embedding/ids":
            edit.drop(node)
        elif node.name.endswith("/block_sums/blocks"):
            sizes = [0, 0, -1, _CORRECTION_BLOCK]
            node.input[1] = edit.constant("by_block_of_three_axes", sizes)
        else:
            raise NotApplicableError(f"{node.name} needs two axes")
    for node in edit.nodes:
        if node.op_type == "ReduceSum" and node.name.endswith("/block_sums"):
            node.input[1] = edit.constant("last_of_four_axes", [3])


def lengths_in_int32(edit: Edit) -> None:
    """The mask cast to int32 before it is summed, instead of its sum."""
    (total,) = edit.of("ReduceSum", "lengths/sum")
    (last,) = edit.of("Sub", "lengths/last")
    (cast,) = edit.of("Cast", "lengths/seqlens_k")
    one = numpy_helper.from_array(np.array(1, dtype=np.int32), "one_int32")
    edit.model.graph.initializer.append(one)
    mask = "attention_mask_int32"
    narrow = helper.make_node("Cast", [total.input[0]], [mask], mask, to=TensorProto.INT32)
    total.input[0], last.input[1] = mask, "one_int32"
    edit.nodes.insert(0, narrow)
    edit.drop(cast)


def query_key_value_apart(edit: Edit) -> None:
    """Three products for Q, K and V instead of one."""
    for attention in edit.of("GroupQueryAttention"):
        shaped = next(node for node in edit.nodes if node.output[0] == attention.input[0])
        if attention.input[1] or shaped.op_type != "Reshape":
            raise NotApplicableError("Q, K and V are not fused")
        attributes = {each.name: each.i for each in attention.attribute}
        linear = next(node for node in edit.nodes if node.output[0] == shaped.input[0])
        product = linear
        if linear.op_type == "Gemm":
            product = next(node for node in edit.nodes if node.output[0] == linear.input[2])
        rows = _attribute(product, "N")
        heads, kv_heads = attributes["num_heads"], attributes["kv_num_heads"]
        each = rows // (heads + 2 * kv_heads)
        shape = next(node for node in edit.nodes if node.output[0] == shaped.input[1])
        new: list[NodeProto] = []
        start = 0
        for index, count in enumerate((heads * each, kv_heads * each, kv_heads * each)):
            name = f"{product.name}/{'qkv'[index]}"
            cut = _Rows(edit, new, name, range(start, start + count), of=rows)
            value = cut.product(product)
            if linear is not product:
                value = cut.corrected(linear, value)
            width = f"{value}/width"
            sizes = helper.make_node(
                "Concat",
                [shape.input[0], edit.constant(f"integers/{count}", [count])],
                [width],
                width,
                axis=0,
            )
            output = f"{value}/3d"
            new += [sizes, helper.make_node("Reshape", [value, width], [output], output)]
            attention.input[index] = output
            start += count
        edit.nodes = [n for n in edit.nodes if n is not product and n is not shaped]
        if linear is not product:
            edit.nodes = [n for n in edit.nodes if n is not linear]
        edit.nodes += new


def gate_and_up_fused(edit: Edit) -> None:
    """One product for gate and up, cut by a `Split`, instead of two."""
    joined = 0
    for gate in edit.of("MatMulNBits", "/gate/matmul"):
        up_name = gate.name.replace("/gate/", "/up/")
        up = next(node for node in edit.nodes if node.name == up_name)
        names = ("bits", "block_size", "N")
        if any(_attribute(gate, name) != _attribute(up, name) for name in names):
            continue
        corrected = [edit.reader(node.output[0]) for node in (gate, up)]
        if len({node.op_type for node in corrected if node is not None}) > 1:
            corrected = [None, None]  # the gate is read by its activation, up by the product
        is_corrected = all(node is not None and node.op_type == "Gemm" for node in corrected)
        new: list[NodeProto] = []
        name = gate.name.replace("/gate/", "/gate_up/")
        fused = type(gate)()
        fused.CopyFrom(gate)
        fused.name, fused.output[0] = name, f"{name}/output"
        for at in range(1, len(gate.input)):
            if gate.input[at]:
                fused.input[at] = _join(new, f"{name}/{at}", gate.input[at], up.input[at])
        for attribute in fused.attribute:
            if attribute.name == "N":
                attribute.i *= 2
        new.append(fused)
        value, outputs = fused.output[0], [gate.output[0], up.output[0]]
        gone = [gate, up]
        if is_corrected:
            one, other = (node for node in corrected if node is not None)
            both = type(one)()
            both.CopyFrom(one)
            both.name, both.output[0] = f"{name}/correct", f"{name}/correct/output"
            both.input[1] = _join(new, f"{name}/corrections", one.input[1], other.input[1])
            both.input[2] = value
            new.append(both)
            value, outputs = both.output[0], [one.output[0], other.output[0]]
            gone += [one, other]
        new.append(
            helper.make_node("Split", [value], outputs, f"{name}/split", axis=-1, num_outputs=2)
        )
        edit.nodes = [node for node in edit.nodes if all(node is not each for each in gone)] + new
        joined += 1
    if not joined:
        raise NotApplicableError("gate and up are stored differently")


VARIANTS: dict[str, Callable[[Edit], None]] = {
    "SiLU in two operators": sigmoid_and_product,
    "norm without the residual addition": norms_without_addition,
    "Q, K and V apart": query_key_value_apart,
    "block sums not shared": block_sums_not_shared,
    "correction by `MatMul` and `Add`": corrections_in_three_operators,
    "three axes, no `Reshape` at attention": three_axes_throughout,
    "gate and up in one product": gate_and_up_fused,
    "mask as int32": lengths_in_int32,
}
"""By the name that the table shows."""


class _Rows:
    """Some rows of a linear layer as a layer of its own."""

    def __init__(
        self, edit: Edit, new: list[NodeProto], name: str, rows: range, *, of: int
    ) -> None:
        self._edit, self._new, self._name = edit, new, name
        self._rows, self._of = rows, of

    def cut(self, array: str) -> str:
        """The rows of an array of which a flat one holds several numbers a row."""
        each = self._edit.size(array)[0] // self._of
        where = [self._rows.start * each, self._rows.stop * each]
        inputs = [array, *(self._edit.constant(f"integers/{at}", [at]) for at in where)]
        inputs.append(self._edit.constant("integers/0", [0]))
        name = f"{self._name}/{array}"
        self._new.append(helper.make_node("Slice", inputs, [name], name))
        return name

    def product(self, whole: NodeProto) -> str:
        attributes: dict[str, Any] = {each.name: each.i for each in whole.attribute}
        attributes["N"] = len(self._rows)
        inputs = [whole.input[0], *(self.cut(array) if array else "" for array in whole.input[1:])]
        self._new.append(
            helper.make_node(
                "MatMulNBits", inputs, [self._name], self._name, domain=_CONTRIB, **attributes
            )
        )
        return self._name

    def corrected(self, whole: NodeProto, product: str) -> str:
        name = f"{self._name}/correct"
        inputs = [whole.input[0], self.cut(whole.input[1]), product]
        self._new.append(helper.make_node("Gemm", inputs, [name], name, transB=1))
        return name


def _attribute(node: NodeProto, name: str) -> int:
    return next(int(each.i) for each in node.attribute if each.name == name)


def _join(new: list[NodeProto], name: str, one: str, other: str) -> str:
    new.append(helper.make_node("Concat", [one, other], [name], name, axis=0))
    return name
