"""What an export by another tool needs: memory, disk, and a folder to work in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from edgeagent.config.paths import home_dir
from edgeagent.errors import ResourceError
from edgeagent.export.backends.protocol import Backend
from edgeagent.export.backends.settings import BackendSettings, Precision
from edgeagent.export.backends.source import BackendSource
from edgeagent.export.settings import ExportSettings

_FLOAT32_BYTES = 4
_BASE_MEMORY_BYTES = 800 << 20  # torch and transformers themselves
_PACKAGE_BITS: dict[Precision, float] = {
    "int4": 5.0,
    "int8": 9.0,
    "fp16": 16.0,
    "bf16": 16.0,
    "fp32": 32.0,
}
"""Bits per weight, scales included."""

_PACKAGE_MARGIN = 1.3  # tied weights that are stored twice, tokenizer, graph
_LOGIT_ROW_BYTES = 1 << 20  # of the reference: float32 over 262,144 tokens, the largest vocabulary


@contextmanager
def work_folder() -> Iterator[Path]:
    """Yield a private folder that is gone afterwards.

    It is below the cache folder: folders for temporary files are often small and in memory.
    """
    parent = home_dir() / "work"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_resources(
    backend: Backend,
    wanted: BackendSettings,
    source: BackendSource,
    out: Path,
    settings: ExportSettings,
) -> None:
    """Compare what an export needs with what the machine has.

    Raises:
        ResourceError: Not enough memory or disk; the message states both numbers.
    """
    weights = _FLOAT32_BYTES * source.parameters
    memory = int(backend.memory_factor * weights) + _BASE_MEMORY_BYTES
    available = psutil.virtual_memory().available
    if memory > available:
        raise ResourceError(
            f"The {backend.name} backend needs about {memory / 1e9:.1f} GB of memory for this model"
            f" and {available / 1e9:.1f} GB are available; the native backend needs a fraction."
        )
    bits = _PACKAGE_BITS[wanted.precision]
    _check_disk("The package", out, int(bits / 8 * source.parameters * _PACKAGE_MARGIN))
    copies = backend.scratch_copies + (source.kind == "gguf")
    logits = settings.verify_tokens * _LOGIT_ROW_BYTES if settings.verify == "full" else 0
    _check_disk("The work of the backend", home_dir() / "work", copies * weights + logits)


def _check_disk(what: str, folder: Path, needed: int) -> None:
    existing = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise ResourceError(
            f"{what} needs about {needed / 1e9:.1f} GB of disk and {existing} has"
            f" {free / 1e9:.1f} GB free; free some or choose another folder."
        )
