"""Is there enough disk and memory? Asked before the first byte is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgeagent.errors import ResourceError
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.pack.storage import storage_of
from edgeagent.export.settings import ExportSettings
from edgeagent.export.shape import DecoderShape

_MIB = 1 << 20
_SMALL_FILES_BYTES = 32 * _MIB  # tokenizer, graph, configuration, page padding
_BASE_MEMORY_BYTES = 200 * _MIB  # interpreter, numpy, one slice of unpacked rows
_RUNTIME_MEMORY_BYTES = 300 * _MIB  # activations, logits, KV cache and one dequantized layer


def estimate_package_bytes(gguf: GGUFFile, shape: DecoderShape) -> int:
    """Bytes of the package that a file becomes."""
    matrices = [tensor for tensor in gguf.tensors.values() if len(tensor.shape) > 1]
    weights = sum(
        storage_of(tensor.type, source=tensor.name).total_bytes(tensor.rows, tensor.in_features)
        for tensor in matrices
    )
    vectors = sum(4 * tensor.in_features for tensor in gguf.tensors.values())
    rotary = 4 * shape.context_len * shape.head_dim
    return weights + vectors + rotary + _SMALL_FILES_BYTES


def check_resources(
    gguf: GGUFFile, shape: DecoderShape, out: Path, settings: ExportSettings
) -> None:
    """Compare what an export needs with what the machine has.

    Raises:
        ResourceError: Not enough disk or memory; the message states both numbers.
    """
    import psutil

    package = estimate_package_bytes(gguf, shape)
    existing = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if package > free:
        raise ResourceError(
            f"The package needs {_mib(package)} MiB of disk and {existing} has {_mib(free)} MiB"
            " free; free some or choose another folder."
        )
    memory = _BASE_MEMORY_BYTES
    if settings.verify != "none":
        # The runtime keeps a repacked copy of the weights; the mapped file itself can be evicted.
        memory += package + _RUNTIME_MEMORY_BYTES
    available = psutil.virtual_memory().available
    if memory > available:
        hint = "close other programs" if settings.verify == "none" else "export with verify=none"
        raise ResourceError(
            f"The export needs {_mib(memory)} MiB of memory and {_mib(available)} MiB are"
            f" available; {hint} or choose a smaller model."
        )


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f}"
