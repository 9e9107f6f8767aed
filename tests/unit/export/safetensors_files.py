"""Small safetensors files and Hugging Face folders for tests."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One tensor to write."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


def safetensors(*entries: Entry) -> bytes:
    """A file with tensors in the given order; the header is not padded."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for entry in entries:
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [len(data), len(data) + len(entry.data)],
        }
        data += entry.data
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def config(**values: object) -> dict[str, object]:
    """A configuration with the given values over a minimal one."""
    return {"model_type": "llama", "architectures": ["LlamaForCausalLM"]} | values


def write_folder(
    folder: Path, weights: bytes, configuration: dict[str, object] | None = None
) -> Path:
    """A folder with `model.safetensors` and `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps(configuration or config()))
    return folder


def write_sharded(folder: Path, shards: Sequence[Sequence[Entry]]) -> Path:
    """A folder with one file for each list of tensors, an index, and `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    weight_map = {}
    for number, entries in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        (folder / name).write_bytes(safetensors(*entries))
        weight_map |= dict.fromkeys((entry.name for entry in entries), name)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config()))
    return folder
