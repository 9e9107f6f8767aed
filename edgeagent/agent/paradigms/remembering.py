"""A paradigm whose agents are shown similar past successes."""

from __future__ import annotations

from edgeagent.agent.paradigms.protocol import Paradigm
from edgeagent.agent.runtime import Recall, Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.errors import ConfigError
from edgeagent.record.outcome import Outcome

SUFFIX = "+memory"
"""Ends the name of a paradigm with memory: `single+memory`."""


class Remembering:
    """Runs another paradigm with a memory; what it prefilled serves the one without, too.

    Examples stand behind the prefixes of roles, so both find the same prefixes in the caches, and
    what they cost is told apart by what comes behind.
    """

    def __init__(self, paradigm: Paradigm, runtime: Runtime, memory: Recall) -> None:
        """Prepare; `runtime` is that of the paradigm.

        Raises:
            ConfigError: The paradigm is the base model, which has no tools to learn the use of.
        """
        if paradigm.name == "base":
            raise ConfigError("The base model has no tools, so it has nothing to remember.")
        self.name = paradigm.name + SUFFIX
        self._paradigm = paradigm
        self._runtime = runtime
        self._memory = memory

    def warm_up(self) -> None:
        """Prefill the prefixes of all roles."""
        self._paradigm.warm_up()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Answer a question with the memory at hand."""
        before, self._runtime.memory = self._runtime.memory, self._memory
        try:
            return self._paradigm.run(question, task)
        finally:
            self._runtime.memory = before


def without_memory(name: str) -> str:
    """Return the name of the paradigm behind one with memory, any other name as it is."""
    return name.removesuffix(SUFFIX)
