"""What a person decides about a run: engine settings, sampling and an agent's budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from edgeagent.config.spec import Spec


class NGramSpeculation(Spec):
    """Guess tokens from earlier ones and check several in one run of the model.

    Gains where answers copy from the prompt and costs otherwise, by how much depends on the
    device; the graph that it needs also makes prefills slower. See `edgeagent.engine.speculation`.
    """

    ngram_len: int = Field(default=3, ge=1, le=16)
    """Tokens that must have occurred before."""
    max_draft_len: int = Field(default=8, ge=1, le=64)
    """Most tokens guessed at once."""


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
    speculation: NGramSpeculation | None = None
    """Runs the package's graph with the logits of all positions; `None` decodes token by token."""

    def recorded(self) -> dict[str, str | int | float | bool | None]:
        """Return the settings as records hold them: flat, and without `ep`, which stands apart.

        Speculation is written as its two numbers, `3,8`.
        """
        settings = self.model_dump(exclude={"ep", "speculation"})
        guess = self.speculation
        settings["speculation"] = (
            None if guess is None else f"{guess.ngram_len},{guess.max_draft_len}"
        )
        return settings

    @classmethod
    def from_recorded(
        cls, settings: Mapping[str, str | int | float | bool | None], ep: str
    ) -> EngineConfig:
        """Return the settings behind what `recorded` gave.

        Raises:
            ValueError: They are no such settings.
        """
        guess = settings.get("speculation")
        numbers = guess.split(",") if isinstance(guess, str) else []
        return cls.model_validate(
            {
                **settings,
                "ep": ep,
                "speculation": dict(zip(("ngram_len", "max_draft_len"), numbers, strict=True))
                if numbers
                else None,
            }
        )


GROUNDING_PARAMETERS = 1_000_000_000
"""Models with fewer weights are grounded unless the user decides otherwise."""


FREE_NEW_TOKENS = 384
"""Of one turn of a model that is not grounded: several calls, or a program of twenty lines."""


class Budget(Spec):
    """What an agent may do and use for one task before it falls back to the base answer."""

    max_turns: int = Field(default=5, ge=1, le=100)
    """Model turns of one agent, as in the study."""
    max_new_tokens: int = Field(default=96, ge=1, le=1 << 16)
    """Tokens generated in one turn. Models that are not grounded get more unless it is said."""
    max_context_len: int = Field(default=2048, ge=64, le=1 << 20)
    """Tokens of one session's KV cache, prompt and output together."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Wall time of one task, checked between tokens and between prefill chunks."""
    grounding: bool | None = None
    """Whether agents are limited to what the conversation states: tools offer themselves only
    where they have something to work on, arguments consist of numbers and words that were said,
    and each tool is called once. Right for models too small to be trusted with more, wrong for
    those that know by themselves that a day has 24 hours. `None`: by the number of weights."""
    max_observation_chars: int = Field(default=1200, ge=64, le=1 << 16)
    """Characters of one tool output that are shown to the model."""
    max_calls_per_turn: int = Field(default=4, ge=1, le=32)
    """Calls that a model may make at once; grounded models make one."""
    max_thinking_tokens: int = Field(default=0, ge=0, le=1 << 16)
    """Tokens of a thinking section, for models that have one; 0 switches thinking off."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Generated tokens of one task over all agents and turns, `None` for no limit."""
    max_energy_j: float | None = Field(default=None, gt=0)
    """Energy of one task, `None` for no limit; needs a counter that the device really has."""
    sessions: Literal["own", "shared"] | None = None
    """Whether each role has a KV cache of its own, so that its prefix stays in it, or roles of one
    model share one that is rewound: slower, and smaller. `None`: by the memory that is there."""
    constrained: bool = True
    """Whether turns follow a grammar, so that a call cannot be malformed."""

    def for_model(self, parameters: int) -> Budget:
        """Return the budget with everything decided that depends on the number of weights."""
        grounding = self.grounding
        if grounding is None:
            grounding = parameters < GROUNDING_PARAMETERS
        decided: dict[str, object] = {"grounding": grounding}
        if not grounding and "max_new_tokens" not in self.model_fields_set:
            decided["max_new_tokens"] = FREE_NEW_TOKENS
        return self.model_copy(update=decided)
