"""Write the tiny graphs that measure how fast this runtime multiplies 8-bit and 4-bit integers.

    python scripts/make_ceiling_graphs.py [FOLDER]

They are kept in `profiles/ceilings/`; a test compares them with what this script makes. Each holds
one matrix product. Its weights are made by repeating a short random pattern inside the graph, so
a file has about a thousand bytes; the runtime folds that into constants while it loads, packs
them as it packs those of a model, and a run then consists of the product alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

FOLDER = Path(__file__).resolve().parent.parent / "profiles" / "ceilings"

WIDTH = 2048
"""Rows and columns of the weights: 4 MB as 8-bit integers, a size that layers of models have."""
BLOCK_LEN = 32
ACCURACY_LEVEL = 4
"""Of `MatMulNBits`: activations are rounded to 8 bits, as in exported packages."""
OPSET, MS_OPSET, IR_VERSION = 21, 1, 10
SEED = 0


def integer_product(rows_type: int) -> ModelProto:
    """`rows (n, WIDTH) x weights (WIDTH, WIDTH) int8` to int32, by `MatMulInteger`."""
    pattern = np.random.default_rng(SEED).integers(-127, 128, 256).astype(np.int8)
    nodes, arrays = _repeated("weights", pattern, (WIDTH, WIDTH))
    product = helper.make_node("MatMulInteger", ["rows", "weights"], ["products"])
    return _model([*nodes, product], arrays, rows_type, TensorProto.INT32)


def block_quantized_product(bits: int) -> ModelProto:
    """`rows (n, WIDTH) x weights (WIDTH, WIDTH)` in float32, by `MatMulNBits`.

    Args:
        bits: Of one weight.
    """
    random = np.random.default_rng(SEED)
    quants = random.integers(0, 256, 256).astype(np.uint8)
    scales = random.uniform(0.001, 0.002, 64).astype(np.float32)
    blocks = WIDTH // BLOCK_LEN
    nodes, arrays = _repeated("weights", quants, (WIDTH, blocks, BLOCK_LEN * bits // 8))
    scale_nodes, scale_arrays = _repeated("scales", scales, (WIDTH, blocks))
    product = helper.make_node(
        "MatMulNBits",
        ["rows", "weights", "scales"],
        ["products"],
        domain="com.microsoft",
        K=WIDTH,
        N=WIDTH,
        bits=bits,
        block_size=BLOCK_LEN,
        accuracy_level=ACCURACY_LEVEL,
    )
    float32 = TensorProto.FLOAT
    return _model([*nodes, *scale_nodes, product], arrays | scale_arrays, float32, float32)


def graphs() -> dict[str, bytes]:
    """Return the content of each file by its name."""
    made = {
        "matmul_u8s8.onnx": integer_product(TensorProto.UINT8),
        "matmul_s8s8.onnx": integer_product(TensorProto.INT8),
        "matmul_4bit.onnx": block_quantized_product(4),
        "matmul_8bit.onnx": block_quantized_product(8),
    }
    return {name: model.SerializeToString(deterministic=True) for name, model in made.items()}


def _repeated(
    name: str, pattern: np.ndarray, shape: tuple[int, ...]
) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Nodes that repeat a pattern until it fills a shape, and their constants."""
    repeats, rest = divmod(int(np.prod(shape)), len(pattern))
    if rest:
        raise ValueError(f"{len(pattern)} values do not fill {shape}")
    nodes = [
        helper.make_node("Tile", [f"{name}/pattern", f"{name}/repeats"], [f"{name}/flat"]),
        helper.make_node("Reshape", [f"{name}/flat", f"{name}/shape"], [name]),
    ]
    arrays = {
        f"{name}/pattern": pattern,
        f"{name}/repeats": np.array([repeats], dtype=np.int64),
        f"{name}/shape": np.array(shape, dtype=np.int64),
    }
    return nodes, arrays


def _model(
    nodes: list[NodeProto], arrays: dict[str, np.ndarray], rows_type: int, product_type: int
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "ceiling",
        [helper.make_tensor_value_info("rows", rows_type, ["n", WIDTH])],
        [helper.make_tensor_value_info("products", product_type, ["n", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", MS_OPSET)]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="edgeagent"
    )


def main() -> int:
    """Write the files; return the exit code."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in graphs().items():
        (folder / name).write_bytes(content)
        print(f"{folder / name}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
