"""What an export will need of disk, memory and time; asked before the first byte is written."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeagent.errors import ResourceError
from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.model import SourceModel
from edgeagent.export.pack.policy import Recipe
from edgeagent.export.pack.rows import pack_rows
from edgeagent.export.settings import ExportSettings

_MIB = 1 << 20
_SMALL_FILES_BYTES = 24 * _MIB
"""Tokenizer, graphs, configuration, and the gaps between arrays."""
_BASE_MEMORY_BYTES = 220 * _MIB
"""Interpreter, libraries, tokenizer, and one slice of unpacked rows."""
_RUNTIME_MEMORY_BYTES = 150 * _MIB
"""Activations, logits and KV cache of the check."""
_COMPARISON_MEMORY_BYTES = 144 * _MIB
"""Slices of both sides' logits with their exponentials, and the states of the sample."""
_REFERENCE_LAYER_COPIES = 1.5
"""Blocks of the source that are in memory as float32 while it is computed."""
_PROBE_WEIGHTS = 1 << 20
_PROBE_TOKENS = 256
_LOAD_BYTES_PER_S = 400e6
_FIXED_S = 3.0


@dataclass(frozen=True)
class Prediction:
    """What an export needs.

    Attributes:
        package_bytes: Disk.
        memory_bytes: Resident memory at the peak.
        time_s: Wall time, extrapolated from a short measurement on this machine.
    """

    package_bytes: int
    memory_bytes: int
    time_s: float


def predict(
    model: SourceModel, recipe: Recipe, settings: ExportSettings, positions: int
) -> Prediction:
    """Predict what an export needs.

    Args:
        model: What is exported.
        recipe: Precision of its matrices; the largest of a ladder.
        settings: Of the export.
        positions: Tokens that the verification compares.
    """
    package = package_bytes(model, recipe)
    memory = _BASE_MEMORY_BYTES
    if settings.verify != "none":
        memory += package + _RUNTIME_MEMORY_BYTES
    if settings.verify == "full":
        layer = 4 * _layer_weights(model.spec)
        reference = _BASE_MEMORY_BYTES + int(_REFERENCE_LAYER_COPIES * layer)
        memory = _COMPARISON_MEMORY_BYTES + max(memory, reference)
    return Prediction(package, memory, _time_s(model, recipe, settings, positions, package))


def package_bytes(model: SourceModel, recipe: Recipe) -> int:
    """Bytes of the package that a model becomes."""
    spec, tensors = model.spec, model.checkpoint.tensors
    weights = sum(
        recipe.storage(matrix, tensors[matrix.tensor].type).total_bytes(
            matrix.rows, matrix.in_features
        )
        for matrix in spec.weights.matrices()
    )
    rotary = sum(8 * spec.context_len * len(rotary.frequencies) for rotary in spec.rotaries)
    return weights + rotary + _SMALL_FILES_BYTES


def require_resources(prediction: Prediction, out: Path, settings: ExportSettings) -> None:
    """Compare what an export needs with what the machine has.

    Raises:
        ResourceError: Not enough disk or memory; the message states both numbers.
    """
    import psutil

    existing = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if prediction.package_bytes > free:
        raise ResourceError(
            f"The package needs {_mib(prediction.package_bytes)} MiB of disk and {existing} has"
            f" {_mib(free)} MiB free; free some or choose another folder."
        )
    available = psutil.virtual_memory().available
    if prediction.memory_bytes > available:
        hint = "close other programs" if settings.verify == "none" else "export with --verify none"
        raise ResourceError(
            f"The export needs {_mib(prediction.memory_bytes)} MiB of memory and"
            f" {_mib(available)} MiB are available; {hint} or choose a smaller model."
        )


def _layer_weights(spec: DecoderSpec) -> int:
    layer = spec.weights.layers[0]
    parts = (layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down)
    return sum(part.rows * part.in_features for part in parts)


def _time_s(
    model: SourceModel, recipe: Recipe, settings: ExportSettings, positions: int, package: int
) -> float:
    matrices = list(model.spec.weights.matrices())
    weights = sum(matrix.rows * matrix.in_features for matrix in matrices)
    seconds = _FIXED_S + weights * _packing_s_per_weight(model, recipe)
    if settings.verify != "none":
        seconds += package / _LOAD_BYTES_PER_S
    if settings.verify == "full":
        # Source and package each compute about as many products as there are weights.
        seconds += 2 * weights * positions * _product_s(model.spec)
    return seconds


def _packing_s_per_weight(model: SourceModel, recipe: Recipe) -> float:
    """Time to pack a weight, from a slice of the largest matrix of the first block."""
    matrix = model.spec.weights.layers[0].down
    info = model.checkpoint.tensors[matrix.tensor]
    rows = min(matrix.rows, max(1, _PROBE_WEIGHTS // matrix.in_features))
    raw = model.checkpoint.raw(matrix.tensor)[matrix.first_row : matrix.first_row + rows]
    storage = recipe.storage(matrix, info.type)
    began = time.perf_counter()
    pack_rows(raw, info.type, matrix.in_features, storage, source=matrix.tensor)
    return (time.perf_counter() - began) / (rows * matrix.in_features)


def _product_s(spec: DecoderSpec) -> float:
    """Time of one multiplication of a float32 product, which the reference consists of."""
    width = min(spec.intermediate, 4096)
    left = np.ones((_PROBE_TOKENS, spec.hidden), dtype=np.float32)
    right = np.ones((spec.hidden, width), dtype=np.float32)
    left @ right  # the first call starts the threads
    began = time.perf_counter()
    left @ right
    return (time.perf_counter() - began) / (_PROBE_TOKENS * spec.hidden * width)


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f}"
