"""Control flow: the reasons why an agent stops before it has an answer."""

from __future__ import annotations

from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.record.outcome import FailureMode


class AgentStop(Exception):  # noqa: N818 - control flow, not an error
    """An agent is stuck; the paradigm falls back to the base answer and records the mode."""

    def __init__(self, failure: FailureMode, reason: str) -> None:
        """Name the failure mode and say in one sentence what happened."""
        super().__init__(reason)
        self.failure = failure
        self.reason = reason


class Deadline:
    """The time limit of one task."""

    def __init__(self, timeout_s: float) -> None:
        """Start counting now."""
        self.timeout_s = timeout_s
        self._end_ns = now_ns() + int(timeout_s * NS_PER_S)

    def passed(self) -> bool:
        """Whether the time is over."""
        return now_ns() >= self._end_ns

    def check(self) -> None:
        """Stop the agent if the time is over.

        Raises:
            AgentStop: With the mode `timeout`.
        """
        if self.passed():
            raise AgentStop(FailureMode.TIMEOUT, f"the time limit of {self.timeout_s:g} s is over")
