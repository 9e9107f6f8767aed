"""Quantize the weights of a decoder graph by blocks, embedding and head included.

Usage: quantize_graph.py IN.onnx OUT.onnx BITS BLOCK_SIZE SYMMETRIC ACCURACY_LEVEL; BITS is 4, 8, or
32 to keep float32. The weights go to OUT.onnx.data.
"""

import sys
from pathlib import Path

import onnx
from onnx import numpy_helper

_INLINE_BYTES = 1024
_KEEP_FLOAT = 32


def main() -> None:
    """Quantize the graph."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    bits, block_size, symmetric, accuracy_level = map(int, sys.argv[3:7])
    print("@progress 0 3 reading the graph", flush=True)
    model = onnx.load(source)
    fold_transposes(model)
    print("@progress 1 3 quantizing", flush=True)
    if bits != _KEEP_FLOAT:
        model = quantized(model, bits, block_size, bool(symmetric), accuracy_level)
    print("@progress 2 3 writing the graph", flush=True)
    onnx.save(
        model,
        target,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{target.name}.data",
        size_threshold=_INLINE_BYTES,
    )
    print("@progress 3 3 written", flush=True)


def fold_transposes(model: onnx.ModelProto) -> None:
    """Compute transposes of weights now: a tied head is the transposed embedding.

    The quantizer looks for products with a stored matrix and would leave the head in float32.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type != "Transpose" or node.input[0] not in weights:
            continue
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        turned = numpy_helper.to_array(weights[node.input[0]]).transpose(order)
        model.graph.initializer.append(numpy_helper.from_array(turned.copy(), node.output[0]))
        model.graph.node.remove(node)


def quantized(
    model: onnx.ModelProto, bits: int, block_size: int, symmetric: bool, accuracy_level: int
) -> onnx.ModelProto:
    """Return the model with MatMulNBits and GatherBlockQuantized in place of large products."""
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )
    from onnxruntime.quantization.quant_utils import QuantFormat

    quantizer = MatMulNBitsQuantizer(
        model,
        algo_config=DefaultWeightOnlyQuantConfig(
            block_size=block_size,
            is_symmetric=symmetric,
            accuracy_level=accuracy_level,
            quant_format=QuantFormat.QOperator,
            op_types_to_quantize=("MatMul", "Gather"),
            quant_axes=(("MatMul", 0), ("Gather", 1)),
            bits=bits,
        ),
    )
    quantizer.process()
    result: onnx.ModelProto = quantizer.model.model
    return result


if __name__ == "__main__":
    main()
