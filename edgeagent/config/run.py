"""What a person decides about a run: engine settings, sampling and an agent's budget."""

from __future__ import annotations

from pydantic import Field

from edgeagent.config.spec import Spec


class EngineConfig(Spec):
    """Settings of the runtime; all of them are recorded with every measurement."""

    ep: str = "cpu"
    """Execution provider, one of those listed by `edgeagent doctor`."""
    intra_op_num_threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads of one operator; `None` takes the physical cores this process may use."""
    allow_spinning: bool = True
    """Whether idle threads busy-wait: faster between operators, costs energy."""
    prefill_chunk_len: int = Field(default=128, ge=1, le=1 << 16)
    """Tokens per native prefill call; between two calls a prefill can be cancelled."""


class Budget(Spec):
    """How much an agent may use for one task before it falls back to the base answer."""

    max_turns: int = Field(default=5, ge=1, le=100)
    """Model turns of one agent, as in the study."""
    max_new_tokens: int = Field(default=96, ge=1, le=1 << 16)
    """Tokens generated in one turn."""
    max_context_len: int = Field(default=2048, ge=64, le=1 << 20)
    """Tokens of one session's KV cache, prompt and output together."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Wall time of one task, checked between tokens and between prefill chunks."""
    max_observation_chars: int = Field(default=1200, ge=64, le=1 << 16)
    """Characters of one tool output that are shown to the model."""
