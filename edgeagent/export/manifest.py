"""Assembling `manifest.json`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib import metadata
from math import prod
from pathlib import Path

import edgeagent
from edgeagent.clock import utc_now_iso
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.checkpoint.protocol import TensorInfo
from edgeagent.export.pack.storage import storage_of
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.export.shape import DecoderShape
from edgeagent.record.manifest import (
    MANIFEST_NAME,
    Fidelity,
    Manifest,
    SourceRecord,
    TensorGroup,
)

_TOOLS = ("gguf", "numpy", "onnx", "onnxruntime", "onnxruntime-genai", "tokenizers")
_GROUP_ORDER = ("embedding", "attention", "mlp", "head", "norm")
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class PackageFacts:
    """Everything a manifest is made of beside the package's files."""

    gguf: GGUFFile
    sha256: str
    shape: DecoderShape
    model: ModelFacts
    settings: ExportSettings
    fidelity: Fidelity | None


def write_manifest(folder: Path, facts: PackageFacts) -> Manifest:
    """Write `manifest.json` for the files that are in a folder, and return it."""
    gguf, shape = facts.gguf, facts.shape
    manifest = Manifest(
        model_id=facts.model.model_id,
        edgeagent_version=edgeagent.__version__,
        created_utc=utc_now_iso(),
        source=SourceRecord(
            file=gguf.path.name,
            sha256=facts.sha256,
            size_bytes=gguf.size_bytes,
            origin=facts.model.origin,
            architecture=gguf.architecture,
            name=gguf.get_str("general.name", ""),
            license=facts.model.license or gguf.get_str("general.license", ""),
        ),
        recipe={
            "exporter": "native",
            "policy": "exact",
            "context_len": shape.context_len,
            "accuracy_level": facts.settings.accuracy_level,
            "logits": "last position",
            "verify": facts.settings.verify,
        },
        tensor_groups=_tensor_groups(gguf),
        tool_versions={name: _version(name) for name in _TOOLS},
        files=_file_sizes(folder),
        parameters=sum(
            prod(tensor.shape)
            for tensor in gguf.tensors.values()
            if not tensor.name.startswith("rope_")
        ),
        context_len=shape.context_len,
        kv_bytes_per_token=shape.kv_bytes_per_token,
        tool_call_format=facts.model.tool_call_format,
        fidelity=facts.fidelity,
    )
    content = manifest.model_dump_json(indent=2) + "\n"
    (folder / MANIFEST_NAME).write_bytes(content.encode("utf-8"))
    return manifest


def _tensor_groups(gguf: GGUFFile) -> tuple[TensorGroup, ...]:
    """One record per group and precision, in the order of the data flow."""
    parts: dict[tuple[str, str, bool], list[tuple[TensorInfo, int]]] = defaultdict(list)
    for tensor in gguf.tensors.values():
        if len(tensor.shape) == 1:
            size = _FLOAT32_BYTES * tensor.in_features
            parts["norm", "float32", True].append((tensor, size))
            continue
        storage = storage_of(tensor.type, source=tensor.name)
        size = storage.total_bytes(tensor.rows, tensor.in_features)
        parts[_group_of(tensor.name), storage.label, storage.exact].append((tensor, size))
    groups = [
        TensorGroup(
            group=group,
            source_types=dict(Counter(tensor.type.name for tensor, _ in tensors)),
            stored_as=label,
            tensors=len(tensors),
            size_bytes=sum(size for _, size in tensors),
            exact=exact,
        )
        for (group, label, exact), tensors in parts.items()
    ]
    if "output.weight" not in gguf.tensors:
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


def _group_of(tensor: str) -> str:
    if tensor == "token_embd.weight":
        return "embedding"
    if tensor == "output.weight":
        return "head"
    return "attention" if ".attn_" in tensor else "mlp"


def _file_sizes(folder: Path) -> dict[str, int]:
    return {
        path.name: path.stat().st_size
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_NAME
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
