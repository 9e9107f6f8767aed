"""One agent with all tools, in the manner of ReAct."""

from __future__ import annotations

from edgeagent.agent.loop import Agent
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.fallback import run_with_fallback
from edgeagent.agent.roles import SINGLE
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.record.outcome import Outcome


class Single:
    """See the module."""

    name = "single"

    def __init__(self, runtime: Runtime) -> None:
        """Prepare; nothing is prefilled yet."""
        self._base = Base(runtime)
        self._agent = Agent(runtime, SINGLE, runtime.select_tools(SINGLE.tools))

    def warm_up(self) -> None:
        """Prefill the agent's and the fallback's prefix."""
        self._agent.warm_up()
        self._base.warm_up()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Let the agent work, else fall back to the base answer."""
        return run_with_fallback(
            self.name, lambda: self._agent.run(question, task), question, task, self._base
        )
