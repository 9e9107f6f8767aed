"""The graphs that the device's limits are measured with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import make_ceiling_graphs as script
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgeagent.config.paths import data_dir
from edgeagent.privacy import disable_dependency_telemetry
from edgeagent.profiling.bench.integer_rate import KERNELS

disable_dependency_telemetry()
import onnxruntime  # noqa: E402 - telemetry is switched off before


def session(content: bytes, options: Any = None) -> Any:
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def test_the_shipped_files_are_what_the_script_makes() -> None:
    shipped = {
        path.name: path.read_bytes() for path in (data_dir("profiles") / "ceilings").glob("*.onnx")
    }
    made = script.graphs()
    assert shipped.keys() == made.keys() == {file for file, _ in KERNELS.values()}
    for name, content in made.items():
        assert onnx.load_from_string(shipped[name]) == onnx.load_from_string(content), name
        assert len(content) < 2000


@pytest.mark.parametrize("name", sorted(script.graphs()))
def test_a_run_is_the_product_alone(name: str, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    session(script.graphs()[name], options)
    optimized = onnx.load(tmp_path / "optimized.onnx")
    (node,) = optimized.graph.node
    assert node.op_type in {"MatMulInteger", "MatMulNBits"}


@pytest.mark.parametrize(
    ("name", "dtype"), [("matmul_u8s8.onnx", np.uint8), ("matmul_s8s8.onnx", np.int8)]
)
def test_the_whole_product_is_computed(name: str, dtype: type[np.generic]) -> None:
    content = script.graphs()[name]
    arrays = {
        a.name: numpy_helper.to_array(a) for a in onnx.load_from_string(content).graph.initializer
    }
    weights = np.tile(arrays["weights/pattern"], arrays["weights/repeats"][0])
    weights = weights.reshape(script.WIDTH, script.WIDTH)
    rows = np.random.default_rng(1).integers(0, 100, (2, script.WIDTH)).astype(dtype)
    (products,) = session(content).run(None, {"rows": rows})
    # Exact in float64: sums stay far below 2^53.
    expected = rows.astype(np.float64) @ weights.astype(np.float64)
    np.testing.assert_array_equal(products, expected.astype(np.int32))
    assert products.any()


def test_the_script_writes_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["make_ceiling_graphs.py", str(tmp_path / "new")])
    assert script.main() == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(script.graphs())
