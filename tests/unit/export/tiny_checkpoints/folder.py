"""The Hugging Face form: configuration, safetensors and tokenizer in a folder."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tiny_checkpoints.vocabulary import Vocabulary
from tiny_checkpoints.weights import Config, Weights

Dtype = Literal["float32", "float16", "bfloat16"]

_CODES: Mapping[Dtype, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_TRANSFORMERS_VERSION = {"rope_parameters": "5.23.0", "rope_theta": "4.51.0"}


def write_folder(
    folder: Path,
    config: Config,
    weights: Weights,
    vocabulary: Vocabulary,
    *,
    dtype: Dtype,
    shards: int,
) -> None:
    """Write every file that a model on the Hub has."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", _stamped(config, dtype))
    generation = {
        "bos_token_id": vocabulary.bos_id,
        "do_sample": True,
        "eos_token_id": vocabulary.eos_ids,
        "pad_token_id": config["pad_token_id"],
        "temperature": 0.6,
        "top_p": 0.9,
        "transformers_version": _transformers_version(config),
    }
    _write_json(
        folder / "generation_config.json",
        {key: value for key, value in generation.items() if value is not None},
    )
    _write_json(folder / "tokenizer.json", vocabulary.tokenizer_json())
    _write_json(folder / "tokenizer_config.json", vocabulary.tokenizer_config())
    _write_weights(folder, weights, dtype, shards)


def write_safetensors(path: Path, weights: Weights, dtype: Dtype) -> int:
    """Write one file of the safetensors format and return the bytes of its weights."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = []
    size = 0
    for name, tensor in weights.items():
        raw = _stored(tensor, dtype)
        header[name] = {
            "dtype": _CODES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [size, size + len(raw)],
        }
        data.append(raw)
        size += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))
    return size


def _stored(tensor: npt.NDArray[np.float32], dtype: Dtype) -> bytes:
    if dtype == "float16":
        return tensor.astype("<f2").tobytes()
    if dtype == "bfloat16":  # exact: the values have no more bits
        return (tensor.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return tensor.astype("<f4").tobytes()


def _write_weights(folder: Path, weights: Weights, dtype: Dtype, shards: int) -> None:
    if shards == 1:
        write_safetensors(folder / "model.safetensors", weights, dtype)
        return
    names = list(weights)
    weight_map: dict[str, str] = {}
    total = 0
    for shard in range(shards):
        part = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        total += write_safetensors(folder / file, {name: weights[name] for name in part}, dtype)
        weight_map |= dict.fromkeys(part, file)
    parameters = sum(tensor.size for tensor in weights.values())
    _write_json(
        folder / "model.safetensors.index.json",
        {
            "metadata": {"total_parameters": parameters, "total_size": total},
            "weight_map": dict(sorted(weight_map.items())),
        },
    )


def _stamped(config: Config, dtype: Dtype) -> dict[str, Any]:
    key = "dtype" if "rope_parameters" in config else "torch_dtype"
    return {**config, key: dtype, "transformers_version": _transformers_version(config)}


def _transformers_version(config: Config) -> str:
    return next(version for key, version in _TRANSFORMERS_VERSION.items() if key in config)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, sort_keys=path.name != "tokenizer.json")
    path.write_text(text + "\n", encoding="utf-8")
