"""Readers can be imported anywhere with the base install, whatever they read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import edgeagent.meter

_CODE = """
import importlib, pkgutil, sys
from importlib.abc import MetaPathFinder

REFUSED = {"pynvml", "onnx", "onnxruntime", "onnxruntime_genai", "gguf", "tokenizers", "torch",
           "huggingface_hub", "winreg", "fcntl", "resource", "msvcrt", "safetensors"}

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

# What the standard library and psutil import themselves is none of our business.
import psutil, numpy, pydantic, subprocess, tempfile, threading, concurrent.futures
sys.meta_path.insert(0, Refuse())
import edgeagent.meter, edgeagent.record
count = 0
for package in (edgeagent.meter, edgeagent.record):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        count += 1
heavy = REFUSED & set(sys.modules) - {"fcntl", "resource"}
print(count, sorted(heavy))
"""


def test_every_reader_imports_without_extras_and_without_one_systems_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CODE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    count, heavy = done.stdout.strip().split(" ", 1)
    files = sorted(Path(edgeagent.meter.__path__[0]).rglob("*.py"))
    assert int(count) > len(files)
    assert heavy == "[]"
