"""Turning what a tool wrote into an edgeagent package: tokenizer, configuration, manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import edgeagent
from edgeagent.clock import utc_now_iso
from edgeagent.errors import ExportError
from edgeagent.export.backends.graph_facts import GraphFacts, read_package_graph, tensor_groups
from edgeagent.export.backends.interpreter import Interpreter
from edgeagent.export.backends.model_folder import write_json
from edgeagent.export.backends.names import CONFIG_NAME, DATA_NAME, MODEL_NAME
from edgeagent.export.backends.protocol import Backend
from edgeagent.export.backends.settings import BackendSettings
from edgeagent.export.backends.source import BackendSource, SourceHashes
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.tokenizer import TokenizerFiles, write_tokenizer
from edgeagent.record.manifest import MANIFEST_NAME, Fidelity, Gate, Manifest, SourceRecord

_GREEDY = {
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 1,
    "top_p": 1.0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
}
"""What a run samples with is stated by the run, not by a package."""

_KEPT = frozenset({CONFIG_NAME, MODEL_NAME, DATA_NAME})


@dataclass(frozen=True)
class Verdict:
    """What the verification found.

    Attributes:
        extent: How far it went, in words.
        fidelity: The figures, `None` if they were not measured.
        gate: The judgement, `None` without figures.
    """

    extent: str
    fidelity: Fidelity | None = None
    gate: Gate | None = None


@dataclass(frozen=True)
class BuiltPackage:
    """What the manifest is made of beside the package's files."""

    backend: Backend
    settings: BackendSettings
    source: BackendSource
    hashes: SourceHashes
    interpreter: Interpreter
    model: ModelFacts
    verdict: Verdict
    context_len: int


def finish_package(folder: Path, tokenizer: TokenizerFiles, context_cap: int) -> int:
    """Replace the tool's tokenizer and settings by edgeagent's, and return the context length.

    The tool's own tokenizer files went through a version of transformers; the source's are put in
    their place, so that what the verification compares is the source.

    Raises:
        ExportError: The tool did not write what it should have.
    """
    for path in folder.iterdir():
        if path.name not in _KEPT:
            path.unlink()
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        model = config["model"]
        context_len = min(int(model["context_length"]), context_cap)
        complete = model["decoder"]["filename"] == MODEL_NAME and (folder / MODEL_NAME).is_file()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError("The backend wrote no usable genai_config.json.") from error
    if not complete:
        raise ExportError(f"The backend wrote no {MODEL_NAME}.")
    eos_ids = list(tokenizer.eos_ids)
    model |= {
        "context_length": context_len,
        "bos_token_id": eos_ids[0] if tokenizer.bos_id is None else tokenizer.bos_id,
        "eos_token_id": eos_ids,
        "pad_token_id": tokenizer.pad_id,
    }
    config["search"] = config.get("search", {}) | _GREEDY | {"max_length": context_len}
    write_json(folder / CONFIG_NAME, config)
    write_tokenizer(tokenizer, folder)
    return context_len


def write_manifest(folder: Path, built: BuiltPackage) -> Manifest:
    """Write `manifest.json` for the files that are in a folder, and return it."""
    graph: GraphFacts = read_package_graph(folder)
    source = built.source
    manifest = Manifest(
        model_id=built.model.model_id,
        edgeagent_version=edgeagent.__version__,
        created_utc=utc_now_iso(),
        source=SourceRecord(
            file=source.path.resolve().name,
            sha256=built.hashes.sha256,
            size_bytes=source.size_bytes,
            origin=built.model.origin,
            architecture=source.architecture,
            name=source.name,
            license=built.model.license or source.license,
            parts=built.hashes.parts,
        ),
        recipe=_recipe(built),
        tensor_groups=tensor_groups(graph, source.types),
        tool_versions=built.interpreter.versions
        | {
            f"{name} (verification)": metadata.version(name)
            for name in ("onnxruntime", "onnxruntime-genai")
        },
        files={
            path.name: path.stat().st_size
            for path in sorted(folder.iterdir())
            if path.name != MANIFEST_NAME
        },
        parameters=source.parameters,
        context_len=built.context_len,
        kv_bytes_per_token=graph.kv_bytes_per_token,
        tool_call_format=built.model.tool_call_format,
        fidelity=built.verdict.fidelity,
        gate=built.verdict.gate,
    )
    content = manifest.model_dump_json(indent=2) + "\n"
    (folder / MANIFEST_NAME).write_bytes(content.encode("utf-8"))
    return manifest


def _recipe(built: BuiltPackage) -> dict[str, str | int | float | bool]:
    settings = built.settings
    options = built.backend.options(settings)
    pruned = options.get("prune_lm_head") == "true"
    return {
        "exporter": built.backend.name,
        "precision": settings.precision,
        "ep": settings.ep,
        **{f"option.{name}": value for name, value in sorted(options.items())},
        "interpreter": built.interpreter.label,
        "context_len": built.context_len,
        "logits": "last position" if pruned else "all positions",
        "verify": built.verdict.extent,
    }
