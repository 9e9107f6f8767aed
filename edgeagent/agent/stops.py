"""Control flow: the reasons why an agent stops before it has an answer."""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.config.run import Budget
from edgeagent.record.outcome import FailureMode

EnergyReader = Callable[[], float | None]
"""Returns the joules that the device used since some fixed moment, `None` if it cannot be read."""

_ENERGY_INTERVAL_NS = NS_PER_S // 5
"""Counters are read this often at most: asking between any two tokens would cost more than it
tells, and few counters move faster."""


class AgentStop(Exception):  # noqa: N818 - control flow, not an error
    """An agent is stuck; the paradigm falls back and records the mode.

    Attributes:
        failure: Why.
        reason: The same in one sentence.
        best: The best answer so far, empty if there is none.
    """

    def __init__(self, failure: FailureMode, reason: str, best: str = "") -> None:
        """Name the failure mode and say in one sentence what happened."""
        super().__init__(reason)
        self.failure = failure
        self.reason = reason
        self.best = best


class Limits:
    """What one task may use: time, generated tokens, energy."""

    def __init__(
        self,
        timeout_s: float,
        *,
        max_tokens: int | None = None,
        max_energy_j: float | None = None,
        energy: EnergyReader | None = None,
    ) -> None:
        """Start counting now.

        Args:
            timeout_s: Wall time.
            max_tokens: Generated tokens, `None` for no limit.
            max_energy_j: Energy, `None` for no limit.
            energy: Reads the energy; without it `max_energy_j` limits nothing, so whoever sets a
                limit makes sure that there is one.
        """
        self.timeout_s = timeout_s
        self.max_tokens = max_tokens
        self.max_energy_j = max_energy_j
        self.tokens = 0
        self._end_ns = now_ns() + int(timeout_s * NS_PER_S)
        self._energy = energy if max_energy_j is not None else None
        self._start_j = self._energy() if self._energy else None
        self._used_j = 0.0
        self._next_reading_ns = 0

    @classmethod
    def of(cls, budget: Budget, energy: EnergyReader | None = None) -> Limits:
        """Return the limits of a task under this budget."""
        return cls(
            budget.timeout_s,
            max_tokens=budget.max_tokens,
            max_energy_j=budget.max_energy_j,
            energy=energy,
        )

    def spend(self, tokens: int) -> None:
        """Count generated tokens."""
        self.tokens += tokens

    def tokens_left(self, wanted: int) -> int:
        """Return how many of the wanted tokens may still be generated."""
        if self.max_tokens is None:
            return wanted
        return max(0, min(wanted, self.max_tokens - self.tokens))

    def seconds_left(self) -> float:
        """Return how much of the time is left, 0 if it is over."""
        return max(0.0, (self._end_ns - now_ns()) / NS_PER_S)

    def passed(self) -> bool:
        """Whether something is used up that is checked while a model runs: time or energy."""
        return now_ns() >= self._end_ns or self._energy_is_used_up()

    def _energy_is_used_up(self) -> bool:
        if self._energy is None or self.max_energy_j is None:
            return False
        if now_ns() >= self._next_reading_ns:
            self._next_reading_ns = now_ns() + _ENERGY_INTERVAL_NS
            reading_j = self._energy()
            if reading_j is not None and self._start_j is not None:
                self._used_j = reading_j - self._start_j
        return self._used_j >= self.max_energy_j

    def check(self) -> None:
        """Stop the agent if something is used up.

        Raises:
            AgentStop: With the mode `timeout`, `token_limit` or `energy_limit`.
        """
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            raise AgentStop(
                FailureMode.TOKEN_LIMIT, f"the {self.max_tokens} tokens of a task are used up"
            )
        if self._energy_is_used_up():
            raise AgentStop(
                FailureMode.ENERGY_LIMIT, f"the {self.max_energy_j:g} J of a task are used up"
            )
        if self.passed():
            raise AgentStop(FailureMode.TIMEOUT, f"the time limit of {self.timeout_s:g} s is over")
