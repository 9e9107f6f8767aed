"""Assembling `manifest.json`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import edgeagent
from edgeagent.clock import utc_now_iso
from edgeagent.export.decoder.weights import Role, Vector
from edgeagent.export.hashing import combined
from edgeagent.export.model import SourceModel
from edgeagent.export.pack.policy import Recipe
from edgeagent.export.preflight import Prediction
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.export.verify.verifier import Verdict
from edgeagent.record.manifest import (
    MANIFEST_NAME,
    AdapterRecord,
    ExportCost,
    Manifest,
    SourceRecord,
    TensorGroup,
)

_TOOLS = ("gguf", "numpy", "onnx", "onnxruntime", "onnxruntime-genai", "tokenizers")
_GROUP_ORDER = ("embedding", "attention", "mlp", "head", "norm")
_GROUPS: dict[Role, str] = {
    "embedding": "embedding",
    "q": "attention",
    "k": "attention",
    "v": "attention",
    "o": "attention",
    "gate": "mlp",
    "up": "mlp",
    "down": "mlp",
    "head": "head",
}
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class PackageFacts:
    """Everything a manifest is made of beside the package's files."""

    model: SourceModel
    hashes: dict[Path, str]
    recipe: Recipe
    calibrated: bool
    facts: ModelFacts
    settings: ExportSettings
    verdict: Verdict | None
    prediction: Prediction
    export_s: float
    adapters: tuple[AdapterRecord, ...] = ()


def write_manifest(folder: Path, package: PackageFacts) -> Manifest:
    """Write `manifest.json` for the files that are in a folder, and return it."""
    model, settings, verdict = package.model, package.settings, package.verdict
    source = model.checkpoint
    several = len(package.hashes) > 1
    manifest = Manifest(
        model_id=package.facts.model_id,
        edgeagent_version=edgeagent.__version__,
        created_utc=utc_now_iso(),
        source=SourceRecord(
            file=source.path.name,
            sha256=combined(package.hashes),
            size_bytes=source.size_bytes,
            origin=package.facts.origin,
            architecture=model.architecture,
            name=model.name,
            license=package.facts.license or model.license,
            parts={path.name: digest for path, digest in package.hashes.items()} if several else {},
        ),
        recipe={
            "exporter": "native",
            "policy": settings.policy,
            "precision": package.recipe.name,
            "calibrated": package.calibrated,
            "context_len": model.spec.context_len,
            "accuracy_level": settings.accuracy_level,
            "logits": "last position; all positions in all_positions.onnx",
            "verify": settings.verify,
        },
        tensor_groups=_tensor_groups(model, package.recipe),
        tool_versions={name: _version(name) for name in _TOOLS},
        files=_file_sizes(folder),
        parameters=model.parameters,
        context_len=model.spec.context_len,
        kv_bytes_per_token=model.spec.kv_bytes_per_token,
        tool_call_format=package.facts.tool_call_format,
        fidelity=None if verdict is None else verdict.fidelity,
        gate=None if verdict is None else verdict.gate,
        predicted=ExportCost(
            package_bytes=package.prediction.package_bytes,
            rss_peak_bytes=package.prediction.memory_bytes,
            time_s=round(package.prediction.time_s, 1),
        ),
        export_s=round(package.export_s, 1),
        adapters=package.adapters,
    )
    content = manifest.model_dump_json(indent=2) + "\n"
    (folder / MANIFEST_NAME).write_bytes(content.encode("utf-8"))
    return manifest


def _tensor_groups(model: SourceModel, recipe: Recipe) -> tuple[TensorGroup, ...]:
    """One record per group and precision, in the order of the data flow."""
    weights, tensors = model.spec.weights, model.checkpoint.tensors
    parts: dict[tuple[str, str, bool], list[tuple[str, int]]] = defaultdict(list)
    for part in weights.parts():
        if isinstance(part, Vector):
            parts["norm", "float32", True].append((part.tensor, _FLOAT32_BYTES * part.size))
            continue
        matrix = part
        if matrix.role == "embedding" and weights.head is None:
            matrix = replace(matrix, role="head")  # stored as the head needs it
        storage = recipe.storage(matrix, tensors[matrix.tensor].type)
        size = storage.total_bytes(matrix.rows, matrix.in_features)
        key = _GROUPS[part.role], storage.label, storage.exact
        parts[key].append((part.tensor, size))
    groups = [
        TensorGroup(
            group=group,
            source_types=dict(Counter(tensors[name].type.name for name, _ in stored)),
            stored_as=label,
            tensors=len(stored),
            size_bytes=sum(size for _, size in stored),
            exact=exact,
        )
        for (group, label, exact), stored in parts.items()
    ]
    if weights.head is None:
        embedding = next(group for group in groups if group.group == "embedding")
        groups.append(
            TensorGroup(
                group="head",
                source_types={},
                stored_as=f"{embedding.stored_as}, shared with the embedding",
                tensors=0,
                size_bytes=0,
                exact=embedding.exact,
            )
        )
    return tuple(sorted(groups, key=lambda group: _GROUP_ORDER.index(group.group)))


def _file_sizes(folder: Path) -> dict[str, int]:
    names = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {
        name: path.stat().st_size for name, path in sorted(names.items()) if name != MANIFEST_NAME
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
