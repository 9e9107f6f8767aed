"""Memory that a paradigm will need, predicted from a package's small files before it is loaded.

The prediction is of resident memory on the CPU. Where each part comes from:

- Weights: the runtime packs quantized weights anew for its kernels and drops the originals. A block
  then has its values, a float32 scale and a float32 sum (MLAS `qnbitgemm`: packed B, scales,
  block sums), so from b bits in blocks of n a weight takes b/8 + 8/n bytes, and 4/n more for a
  correction. A table that is only looked up, the embedding, stays in the mapped file, of which few
  pages are touched.
- Loading holds a part of the originals beside the packed ones for a moment.
- KV caches are allocated whole when a session opens: computed exactly.
- Activations: of one chunk of a prefill, residual stream and feed-forward network, the scores of
  the attention over the whole context, and the logits.

The constants were measured on Linux x86-64 with onnxruntime 1.31 (see `docs/metrics.md`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeagent.agent.sessions import AvailableBytes, available_bytes
from edgeagent.config.package import Package, is_package, read_package
from edgeagent.config.run import EngineConfig
from edgeagent.engine.genai_package import CONFIG_NAME
from edgeagent.errors import ConfigError
from edgeagent.export.resolve import resolve
from edgeagent.profiling.dry_run import Plan, plan_of
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.record.manifest import TensorGroup
from edgeagent.record.memory import MemoryPrediction

RUNTIME_BYTES = 115_000_000
"""Interpreter and imports 45 MB, the runtime's code and session 55 MB, agents 15 MB."""

LOAD_EXTRA_SHARE = 0.25
"""Part of the model file that is in memory beside the packed weights at the peak of loading."""

TOKENIZER_FACTOR = 11
"""Bytes in memory per byte of `tokenizer.json`: hash tables of vocabulary and merges."""

GRAMMAR_BYTES_PER_TOKEN = 1000
"""Trie of the vocabulary, states and masks of the compiled grammars (llguidance)."""

_FLOAT32_BYTES = 4
_HIDDEN_BUFFERS = 8
"""Buffers as wide as the residual stream that are alive at once: itself, q, k, v and copies."""
_MLP_BUFFERS = 3
_MLP_RATIO = 4
"""Width of the feed-forward network over that of the residual stream, at most, in small models."""

_STORED = re.compile(
    r"int(?P<bits>\d{1,2}) block (?P<block>\d{1,5})"
    r"(?: \+ (?P<offset>correction|zero point))?(?P<half>, float16 scales)?"
)
"""How the manifest words the storage of a group of tensors."""

_MAX_COUNT = 1 << 31
_MAX_CONFIG_BYTES = 1 << 20


def predict_memory(settings: ProfileSettings, paradigm: str) -> MemoryPrediction | None:
    """Predict what a process needs that runs one paradigm alone.

    Returns:
        `None` where nothing can be said: on another device than the CPU the weights lie elsewhere,
        and of a model that was not exported yet nothing is known.

    Raises:
        ConfigError: There is no paradigm of that name, or something of the workspace cannot be
            used.
    """
    if settings.engine.ep != "cpu":
        return None
    budget = settings.agent_budget()
    plan = plan_of(paradigm, settings.agent_workspace(), budget)
    further = {name: _package_of(name) for name in plan.further or ()}
    found = predict(
        settings.package, settings.engine, plan, budget.max_context_len, sessions=budget.sessions
    )
    for name, package in further.items():
        if package is None or plan.further is None:
            return None
        more = predict(package, settings.engine, plan.further[name], budget.max_context_len)
        if package.folder.resolve() == settings.package.folder.resolve():
            more = _further_sessions(more)
        found = _together(found, more)
    return found


def _package_of(model: str) -> Package | None:
    """Return the package of a model that a role names, if it is there."""
    folder = Path(model).expanduser()
    try:
        folder = folder if is_package(folder) else resolve(model).folder
        return read_package(folder) if is_package(folder) else None
    except ConfigError:
        return None


def _further_sessions(more: MemoryPrediction) -> MemoryPrediction:
    """Return what roles add that name the run's own model: it is not loaded again."""
    there = ("weights_bytes", "load_extra_bytes", "tokenizer_bytes", "activations_bytes")
    return more.model_copy(update=dict.fromkeys((*there, "grammar_bytes"), 0))


def _together(one: MemoryPrediction, other: MemoryPrediction) -> MemoryPrediction:
    """Return what two models in one process need."""
    added = (
        "weights_bytes",
        "tokenizer_bytes",
        "grammar_bytes",
        "kv_cache_bytes",
        "activations_bytes",
        "sessions",
    )
    parts = {name: getattr(one, name) + getattr(other, name) for name in added}
    # They are loaded one after the other.
    load_extra = max(one.load_extra_bytes, other.load_extra_bytes)
    return one.model_copy(update={**parts, "load_extra_bytes": load_extra})


def predict(
    package: Package,
    engine: EngineConfig,
    plan: Plan,
    context_len: int,
    *,
    sessions: Literal["own", "shared"] | None = "own",
    available: AvailableBytes = available_bytes,
) -> MemoryPrediction:
    """Predict the memory of a loaded package with sessions of `context_len` tokens.

    Args:
        package: The model.
        engine: Settings of the runtime.
        plan: What the paradigm needs of it.
        context_len: Tokens of a session.
        sessions: As in `Budget.sessions`; `None` lets memory decide how many there are.
        available: How much memory there is for them and the model together.
    """
    manifest, shape = package.manifest, _Shape.of(package.folder)
    chunk = min(engine.prefill_chunk_len, context_len)
    rows = chunk if engine.speculation is not None else 1  # positions whose logits are kept
    hidden = shape.hidden_size * (_HIDDEN_BUFFERS + _MLP_BUFFERS * _MLP_RATIO)
    scores = shape.heads * context_len
    activations = chunk * (hidden + scores) + rows * shape.vocab_size
    model_bytes = sum(size for name, size in manifest.files.items() if ".onnx" in name)
    copies = 2 if plan.batches else 1
    weights = copies * round(packed_weights_bytes(manifest.tensor_groups))
    tokenizer = TOKENIZER_FACTOR * manifest.files.get("tokenizer.json", 0)
    session_bytes = context_len * manifest.kv_bytes_per_token
    count = plan.sessions
    if sessions is None and session_bytes and not plan.batches:
        left = available() - RUNTIME_BYTES - weights - tokenizer
        count = max(1, min(count, left // session_bytes))
    return MemoryPrediction(
        runtime_bytes=RUNTIME_BYTES,
        weights_bytes=weights,
        load_extra_bytes=round(LOAD_EXTRA_SHARE * model_bytes),
        tokenizer_bytes=tokenizer,
        grammar_bytes=GRAMMAR_BYTES_PER_TOKEN * shape.vocab_size if plan.uses_grammars else 0,
        kv_cache_bytes=count * session_bytes,
        activations_bytes=copies * activations * _FLOAT32_BYTES,
        sessions=count,
        context_len=context_len,
    )


def packed_weights_bytes(groups: tuple[TensorGroup, ...]) -> float:
    """Return the size of the weights as the runtime keeps them in memory."""
    tied = any(group.group == "head" and not group.size_bytes for group in groups)
    return sum(
        group.size_bytes * _growth(group.stored_as)
        for group in groups
        # A table that is only looked up stays in the file; as the head's matrix it is packed.
        if group.group != "embedding" or tied
    )


def _growth(stored_as: str) -> float:
    """Return the size after packing over the size in the package; 1 for what is not packed."""
    found = _STORED.match(stored_as)
    if found is None:
        return 1.0
    value, block = int(found["bits"]) / 8, max(1, int(found["block"]))
    offset, number = found["offset"] or "", 2 if found["half"] else _FLOAT32_BYTES
    zero_point = value / block if offset == "zero point" else 0.0
    corrections = 1 if offset == "correction" else 0
    stored = value + (1 + corrections) * number / block + zero_point
    packed = value + (2 + corrections) * _FLOAT32_BYTES / block + zero_point
    return packed / stored


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the size of activations depends on, 0 where the package does not tell."""

    hidden_size: int
    heads: int
    vocab_size: int

    @classmethod
    def of(cls, folder: Path) -> _Shape:
        """Read it from the package's configuration for the runtime."""
        path = folder / CONFIG_NAME
        try:
            if path.stat().st_size > _MAX_CONFIG_BYTES:
                return cls(0, 0, 0)
            model = _table(json.loads(path.read_text(encoding="utf-8")), "model")
        except (OSError, ValueError, RecursionError):
            return cls(0, 0, 0)
        decoder = _table(model, "decoder")
        return cls(
            hidden_size=_count(decoder, "hidden_size"),
            heads=_count(decoder, "num_attention_heads"),
            vocab_size=_count(model, "vocab_size"),
        )


def _table(data: object, key: str) -> Mapping[str, object]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _count(data: Mapping[str, object], key: str) -> int:
    found = data.get(key)
    return found if isinstance(found, int) and 0 < found <= _MAX_COUNT else 0
