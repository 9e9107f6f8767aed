"""Memory of a process: what was predicted before anything was loaded."""

from __future__ import annotations

from edgeagent.record.base import Record


class MemoryPrediction(Record):
    """Predicted resident memory of a process that runs one paradigm, part by part, in bytes.

    Attributes:
        runtime_bytes: Interpreter, runtime libraries and what the agents keep besides models.
        weights_bytes: Weights in the form in which the runtime computes with them.
        load_extra_bytes: What is needed on top only while they are brought into that form.
        tokenizer_bytes: Vocabulary and merges.
        grammar_bytes: The vocabulary once more, as the grammars of tool calls need it.
        kv_cache_bytes: The KV caches of all planned sessions; computed, allocated whole.
        activations_bytes: Intermediate results of the largest step.
        sessions: Planned sessions.
        context_len: Tokens that each of them can hold.
    """

    runtime_bytes: int
    weights_bytes: int
    load_extra_bytes: int
    tokenizer_bytes: int
    grammar_bytes: int
    kv_cache_bytes: int
    activations_bytes: int
    sessions: int
    context_len: int

    @property
    def rss_peak_bytes(self) -> int:
        """The larger of what loading needs and what running needs."""
        loaded = self.runtime_bytes + self.weights_bytes
        running = (
            self.tokenizer_bytes + self.grammar_bytes + self.kv_cache_bytes + self.activations_bytes
        )
        return loaded + max(self.load_extra_bytes, running)
