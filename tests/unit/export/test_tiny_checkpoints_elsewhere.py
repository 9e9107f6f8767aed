"""The tiny checkpoints in transformers and in llama.cpp, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import (
    ALL_CHECKPOINTS,
    decoder_logits,
    load_reference_logits,
    reference_transformers_version,
    relative_error,
)

ROOT = Path(__file__).resolve().parents[3]
WORKER = Path(__file__).resolve().with_name("llama_cpp_worker.py")
LLAMA_PYTHON = "EDGEAGENT_LLAMA_CPP_PYTHON"
TORCH = "torch==2.13.0"

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(3600)]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a program that must not see this interpreter's own packages."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [str(part) for part in command], env=outside, capture_output=True, text=True, check=False
    )


# transformers


@pytest.fixture(scope="module")
def torch_python(weights_home: Path) -> Path:
    """The interpreter of an environment with torch and transformers, kept between runs."""
    transformers = f"transformers=={reference_transformers_version('llama3')}"
    folder = weights_home / f"{TORCH}-{transformers}".replace("==", "-")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        packages = (TORCH, transformers, "safetensors", "numpy")
        done = run(python, "-m", "pip", "install", "--quiet", *packages)
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "complete").touch()
    return python


def test_recording_again_gives_the_same_logits(torch_python: Path, tmp_path: Path) -> None:
    script = ROOT / "scripts" / "record_reference_logits.py"
    done = run(torch_python, script, "--output", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ALL_CHECKPOINTS:
        with np.load(tmp_path / f"{name}.npz") as recorded:
            assert relative_error(recorded["logits"], load_reference_logits(name)) <= 1e-5
            if "logits_of_gguf" in recorded:
                expected = load_reference_logits(name, "gguf")
                assert relative_error(recorded["logits_of_gguf"], expected) <= 1e-5


# llama.cpp


@pytest.fixture(scope="module")
def llama_python() -> Path:
    """An interpreter that has llama-cpp-python, which takes a quarter of an hour to compile."""
    python = Path(os.environ.get(LLAMA_PYTHON, sys.executable))
    if run(python, "-c", "import llama_cpp").returncode != 0:
        pytest.skip(f"{LLAMA_PYTHON} names no interpreter that has llama-cpp-python")
    return python


def llama_cpp_logits(
    python: Path, folder: Path, files: dict[str, tuple[Path, list[int]]]
) -> dict[str, np.ndarray]:
    jobs = [
        {"name": name, "path": str(path), "tokens": tokens}
        for name, (path, tokens) in files.items()
    ]
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    done = run(python, WORKER, folder / "jobs.json", folder / "results.npz")
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(folder / "results.npz") as results:
        return {name: results[name] for name in files}


def test_llama_cpp_computes_the_same_from_the_gguf(llama_python: Path, tmp_path: Path) -> None:
    """So names, keys and orders of rows are the converter's, and the semantics are shared."""
    files, expected = {}, {}
    for name, checkpoint in ALL_CHECKPOINTS.items():
        if checkpoint.gguf_architecture is None:
            continue
        files[name] = (checkpoint.write_gguf(tmp_path / f"{name}.gguf"), checkpoint.tokens)
        expected[name] = load_reference_logits(name, "gguf")
    # llama.cpp ignores the window that a GGUF of Phi-3 states; transformers obeys it.
    phi3 = ALL_CHECKPOINTS["phi3"]
    config = {**phi3.config, "sliding_window": None}
    expected["phi3"] = decoder_logits(config, phi3.weights, phi3.tokens)
    actual = llama_cpp_logits(llama_python, tmp_path, files)
    errors = {name: relative_error(actual[name], expected[name]) for name in files}
    # ggml looks GELU up in a table of float16.
    limits = {name: 1e-3 if name.startswith("gemma3") else 1e-5 for name in files}
    assert {name: error for name, error in errors.items() if error > limits[name]} == {}


def test_llama_cpp_reads_every_block_type(llama_python: Path, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS["qwen2"].wide()
    kinds = ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
    files = {
        kind: (checkpoint.write_gguf(tmp_path / f"{kind}.gguf", kind=kind), checkpoint.tokens)
        for kind in kinds
    }
    actual = llama_cpp_logits(llama_python, tmp_path, files)
    errors = {
        kind: relative_error(actual[kind], checkpoint.gguf_logits(path))
        for kind, (path, _) in files.items()
    }
    # It rounds activations to eight bits before it multiplies quantized weights.
    assert {kind: error for kind, error in errors.items() if error > 0.05} == {}
