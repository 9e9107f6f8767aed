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

from edgeagent.config.package import Package
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.config.workspace import Workspace
from edgeagent.engine.genai_package import CONFIG_NAME
from edgeagent.engine.grammar import GrammarMatcher
from edgeagent.engine.scripted import ScriptedEngine, replies
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.profiling.workbench import Workbench
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
_DRY_CONTEXT_LEN = 1 << 18
_DRY_QUESTION = "How much is 21 plus 34?"
_MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a paradigm needs of an engine.

    Attributes:
        sessions: KV caches that it opens.
        uses_grammars: Whether it writes tool calls under a grammar.
    """

    sessions: int
    uses_grammars: bool


def predict_memory(settings: ProfileSettings, paradigm: str) -> MemoryPrediction | None:
    """Predict what a process needs that runs one paradigm alone.

    Returns:
        `None` where nothing can be said: on another device than the CPU the weights lie elsewhere.

    Raises:
        ConfigError: There is no paradigm of that name, or the documents cannot be read.
    """
    if settings.engine.ep != "cpu":
        return None
    budget = settings.agent_budget()
    plan = plan_of(paradigm, settings.agent_workspace(), budget)
    return predict(settings.package, settings.engine, plan, budget.max_context_len)


def predict(
    package: Package, engine: EngineConfig, plan: Plan, context_len: int
) -> MemoryPrediction:
    """Predict the memory of a loaded package with sessions of `context_len` tokens."""
    manifest, shape = package.manifest, _Shape.of(package.folder)
    chunk = min(engine.prefill_chunk_len, context_len)
    rows = chunk if engine.speculation is not None else 1  # positions whose logits are kept
    hidden = shape.hidden_size * (_HIDDEN_BUFFERS + _MLP_BUFFERS * _MLP_RATIO)
    scores = shape.heads * context_len
    activations = chunk * (hidden + scores) + rows * shape.vocab_size
    model_bytes = sum(size for name, size in manifest.files.items() if ".onnx" in name)
    return MemoryPrediction(
        runtime_bytes=RUNTIME_BYTES,
        weights_bytes=round(packed_weights_bytes(manifest.tensor_groups)),
        load_extra_bytes=round(LOAD_EXTRA_SHARE * model_bytes),
        tokenizer_bytes=TOKENIZER_FACTOR * manifest.files.get("tokenizer.json", 0),
        grammar_bytes=GRAMMAR_BYTES_PER_TOKEN * shape.vocab_size if plan.uses_grammars else 0,
        kv_cache_bytes=plan.sessions * context_len * manifest.kv_bytes_per_token,
        activations_bytes=activations * _FLOAT32_BYTES,
        sessions=plan.sessions,
        context_len=context_len,
    )


def plan_of(paradigm: str, workspace: Workspace, budget: Budget) -> Plan:
    """Return what a paradigm needs, by running it once on a model that says nothing.

    Raises:
        ConfigError: There is no paradigm of that name, or the documents cannot be read.
    """
    # Its tokens are bytes, so prompts are several times longer than with a real model.
    roomy = budget.model_copy(update={"max_context_len": _DRY_CONTEXT_LEN})
    engine = _DryEngine()
    # Servers and programs of a tools file are not started for that: they change no cache.
    dry = workspace.model_copy(update={"tools_file": None})
    bench = Workbench(engine, workspace=dry, budget=roomy)
    try:
        bench.paradigm(paradigm).warm_up()
        bench.run(paradigm, _DRY_QUESTION)
        return Plan(len(bench.runtime.sessions()), engine.was_asked_for_a_grammar)
    finally:
        bench.close()


class _DryEngine(ScriptedEngine):
    """A model that says nothing, and remembers whether it was to follow a grammar."""

    was_asked_for_a_grammar = False

    def __init__(self) -> None:
        super().__init__(replies(), context_len=_DRY_CONTEXT_LEN)

    def matcher(self, grammar: str) -> GrammarMatcher:
        self.was_asked_for_a_grammar = True
        return super().matcher(grammar)


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
