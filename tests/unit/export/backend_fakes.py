"""Interpreters with make-believe tools: real virtual environments, scripted packages, no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_checkpoints import FAMILY_CHECKPOINTS

from edgeagent.export.backends.requirements import Bounds, RequirementSet

BUILDER_VERSIONS = {
    "onnxruntime-genai": "0.18.0",
    "torch": "2.13.0+cpu",
    "transformers": "5.23.0",
    "onnx-ir": "1.1.0",
    "accelerate": "1.15.0",
    "gguf": "0.19.0",
}

BUILDER = """
import json, os, shutil, sys, time
from pathlib import Path

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
options = sys.argv[sys.argv.index("--extra_options") + 1 :]
out, model = Path(arguments["-o"]), Path(arguments["-i"])
seen = {
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "path": sys.path,
    "model": sorted(path.name for path in model.iterdir()),
    "config": json.loads((model / "config.json").read_text()),
}
(Path(__file__).parents[2] / "seen.json").write_text(json.dumps(seen))
print("Reading embedding layer", flush=True)
print("Reading layer 0", flush=True)
"""
"""The beginning of a make-believe model builder: it notes what it was told."""

BUILDER_WRITES = """
graph = Path(__file__).parents[2] / "graph"
for path in graph.iterdir():
    shutil.copy(path, out / path.name)
(out / "leftover.model").write_text("not for a package")
print("Saving ONNX model in", out, flush=True)
"""


def make_interpreter(folder: Path) -> Path:
    """Create a virtual environment without pip and return its interpreter."""
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def site_packages(python: Path) -> Path:
    """Return the folder that an interpreter imports packages from."""
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, check=True)
    return Path(done.stdout.decode().strip())


def pretend(python: Path, versions: Mapping[str, str]) -> None:
    """Make distributions look installed."""
    for name, version in versions.items():
        info = site_packages(python) / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def install_builder(python: Path, ending: str) -> Path:
    """Install the make-believe model builder; return the folder that it leaves `seen.json` in."""
    packages = site_packages(python)
    models = packages / "onnxruntime_genai" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    (models / "__init__.py").touch()
    (models / "builder.py").write_text(BUILDER + textwrap.dedent(ending))
    write_graph(packages / "graph")
    return packages


def write_folder(folder: Path) -> Path:
    """Write the smallest Hugging Face folder that there is a tokenizer for."""
    return FAMILY_CHECKPOINTS["smollm2"].write_folder(folder)


def write_graph(folder: Path) -> None:
    """Write a decoder in name only, with the configuration that the model builder would write."""
    folder.mkdir()
    cache = ["batch", 2, "past", "kv_cache_dim"]
    weight = np.zeros((16, 8), dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["embed_tokens.weight", "input_ids"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "lm_head.weight"], ["logits"], name="/lm_head"),
            helper.make_node("Identity", ["past_key_values.0.key"], ["present.0.key"]),
            helper.make_node("Identity", ["past_key_values.0.value"], ["present.0.value"]),
        ],
        "decoder",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"]),
            helper.make_tensor_value_info("past_key_values.0.key", TensorProto.FLOAT16, cache),
            helper.make_tensor_value_info("past_key_values.0.value", TensorProto.FLOAT16, cache),
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", 16]),
            helper.make_tensor_value_info("present.0.key", TensorProto.FLOAT16, cache),
            helper.make_tensor_value_info("present.0.value", TensorProto.FLOAT16, cache),
        ],
        [
            numpy_helper.from_array(weight, "embed_tokens.weight"),
            numpy_helper.from_array(weight.T.astype(np.float16), "lm_head.weight"),
        ],
    )
    onnx.save(helper.make_model(graph), folder / "model.onnx")
    config = {
        "model": {
            "context_length": 131072,
            "bos_token_id": 7,
            "eos_token_id": 7,
            "decoder": {"filename": "model.onnx", "head_size": 64, "num_key_value_heads": 2},
        },
        "search": {"do_sample": True, "temperature": 0.6, "past_present_share_buffer": True},
    }
    (folder / "genai_config.json").write_text(json.dumps(config))


class ToyRequirements(RequirementSet):
    """One package from a folder of wheels."""

    pins = "# one package\ntoy==1.5\n"


TOY = ToyRequirements(
    name="toy", bounds={"toy": Bounds("1", "2")}, disk_bytes=1 << 20, imports=("toy",)
)


def write_toy_wheel(folder: Path, *, code: str = "answer = 42\n") -> None:
    """Write the wheel of the only package of `TOY`."""
    folder.mkdir(exist_ok=True)
    contents = {
        "toy.py": code,
        "toy-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy\nVersion: 1.5\n",
        "toy-1.5.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents["toy-1.5.dist-info/RECORD"] = "".join(
        f"{name},,\n" for name in (*contents, "toy-1.5.dist-info/RECORD")
    )
    with zipfile.ZipFile(folder / "toy-1.5-py3-none-any.whl", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
