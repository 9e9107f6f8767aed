"""One agent with all tools, in the manner of ReAct."""

from __future__ import annotations

from edgeagent.agent.functions import function_agent
from edgeagent.agent.loop import Agent, Role
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.fallback import run_with_fallback
from edgeagent.agent.roles import SINGLE
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind


class Single:
    """See the module."""

    name = "single"

    def __init__(self, runtime: Runtime, role: Role = SINGLE, name: str = "single") -> None:
        """Prepare; nothing is prefilled yet.

        Args:
            runtime: What paradigms share.
            role: Who the agent is.
            name: The paradigm's name.
        """
        self.name = name
        self._runtime = runtime
        self._base = Base(runtime, model=role.model)
        self._agent = Agent(runtime, role, runtime.select_tools(role.tools))

    def warm_up(self) -> None:
        """Prefill the agent's and the fallback's prefix."""
        self._agent.warm_up()
        self._base.warm_up()

    def _attempt(self, question: str, task: TaskRun) -> str:
        task.speaker = self._agent.role.name
        if task.functions:
            return function_agent(self._runtime, self._agent.role.name, task).run(question, task)
        if self._agent.has_work(question):
            return self._agent.run(question, task)
        # No tool has anything to work on: a very small model answers best without their examples.
        answer = self._base.answer(question, task, task.limits)
        if not answer:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
        task.add(Step(agent=self._agent.role.name, kind=StepKind.ANSWER, text=answer))
        return answer

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Let the agent work, else fall back to the base answer."""
        return run_with_fallback(
            self.name, lambda: self._attempt(question, task), question, task, self._base
        )
