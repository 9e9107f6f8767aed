"""What one task accumulates while paradigms and agents work on it."""

from __future__ import annotations

from typing import Protocol

from edgeagent.agent.stops import Deadline
from edgeagent.record.outcome import Step
from edgeagent.record.spans import Recorder


class Listener(Protocol):
    """Follows a task while it runs, to stream text or show steps."""

    def on_text(self, agent: str, text: str) -> None:
        """A piece of generated text of a role."""
        ...

    def on_step(self, step: Step) -> None:
        """A finished step."""
        ...


class Silent:
    """A listener that does nothing."""

    def on_text(self, agent: str, text: str) -> None:
        """Ignore."""

    def on_step(self, step: Step) -> None:
        """Ignore."""


class TaskRun:
    """The spans, steps, turns and time limit of one task."""

    def __init__(self, timeout_s: float, listener: Listener | None = None) -> None:
        """Start the clock of the task."""
        self.recorder = Recorder()
        self.deadline = Deadline(timeout_s)
        self.listener: Listener = listener or Silent()
        self.steps: list[Step] = []
        self.turns = 0

    def add(self, step: Step) -> None:
        """Keep a finished step and show it."""
        self.steps.append(step)
        self.listener.on_step(step)
