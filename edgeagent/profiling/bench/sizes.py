"""What the work of a model follows from, as its package says."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.config.package import Package
from edgeagent.config.run import EngineConfig
from edgeagent.engine.genai_package import CONFIG_NAME
from edgeagent.record.bench_run import ModelSizes
from edgeagent.record.manifest import Manifest

_MAX_BYTES = 16 << 20
_LAST_POSITION = "last position"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Decoder(_Part):
    head_size: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)


class _Model(_Part):
    vocab_size: int = Field(ge=1)
    decoder: _Decoder


class _Config(_Part):
    model: _Model


def model_sizes(package: Package, engine: EngineConfig) -> ModelSizes | None:
    """Return the sizes of a package's model, `None` if its configuration does not tell them all."""
    path = package.folder / CONFIG_NAME
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        model = _Config.model_validate_json(path.read_bytes()).model
    except (OSError, ValidationError):
        return None
    manifest, decoder = package.manifest, model.decoder
    return ModelSizes(
        layers=decoder.num_hidden_layers,
        hidden=decoder.hidden_size,
        heads=decoder.num_attention_heads,
        head_dim=decoder.head_size,
        vocab=model.vocab_size,
        parameters=manifest.parameters,
        tied=sum(group.tensors for group in manifest.tensor_groups if group.group == "head") == 0,
        step_weight_bytes=step_weight_bytes(manifest, model.vocab_size),
        head_rows=_head_rows(manifest, engine),
        kv_bytes_per_token=manifest.kv_bytes_per_token,
    )


def step_weight_bytes(manifest: Manifest, vocab: int) -> int:
    """Return the bytes of stored weights that one decode step reads.

    Blocks, norms and the head as a whole; of an embedding that is stored apart from the head only
    one row. An embedding that the head shares is read as a whole, by the head.
    """
    sizes = {"embedding": 0, "head": 0}
    for group in manifest.tensor_groups:
        sizes[group.group] = sizes.get(group.group, 0) + group.size_bytes
    embedding = sizes.pop("embedding")
    row = embedding if sizes["head"] == 0 else -(-embedding // vocab)
    return sum(sizes.values()) + row


def _head_rows(manifest: Manifest, engine: EngineConfig) -> Literal["last", "all"]:
    """Which positions of a native call have logits; speculation runs a graph that has all."""
    stated = str(manifest.recipe.get("logits", ""))
    if engine.speculation is None and stated.startswith(_LAST_POSITION):
        return "last"
    return "all"
