"""The Paradigm protocol: one way to get from a question to an answer."""

from __future__ import annotations

from typing import Protocol

from edgeagent.agent.task import TaskRun
from edgeagent.record.outcome import Outcome


class Paradigm(Protocol):
    """Keeps its roles' conversations between tasks, so prefixes are prefilled once."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    def warm_up(self) -> None:
        """Prefill the prefixes of all roles."""
        ...

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Answer a question. Never raises for what a model, a tool or a budget does."""
        ...
