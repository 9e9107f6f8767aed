"""Agents one after another: each gets the question and what those before it reported."""

from __future__ import annotations

from collections.abc import Sequence

from edgeagent.agent.functions import function_agent
from edgeagent.agent.loop import Agent, Role
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.fallback import run_with_fallback
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.record.outcome import FailureMode, Outcome

_OWN_LIMITS = (FailureMode.TIMEOUT, FailureMode.TOKEN_LIMIT, FailureMode.ENERGY_LIMIT)
"""Limits of the task: no other agent could go on either."""


class Pipeline:
    """See the module. The last agent's answer is the answer."""

    def __init__(self, runtime: Runtime, roles: Sequence[Role], name: str) -> None:
        """Prepare; nothing is prefilled yet.

        Args:
            runtime: What paradigms share.
            roles: The agents in order, one at least.
            name: The paradigm's name.
        """
        self.name = name
        self._runtime = runtime
        self._base = Base(runtime, model=roles[-1].model)
        self._agents = [Agent(runtime, role, runtime.select_tools(role.tools)) for role in roles]

    def warm_up(self) -> None:
        """Prefill the prefixes of all agents and of the fallback."""
        for agent in self._agents:
            agent.warm_up()
        self._base.warm_up()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Let the agents work, else fall back to the base answer."""
        return run_with_fallback(
            self.name, lambda: self._attempt(question, task), question, task, self._base
        )

    def _attempt(self, question: str, task: TaskRun) -> str:
        *earlier, last = self._agents
        reports: list[str] = []
        for agent in earlier:
            # An agent whose tools find nothing in the question has nothing to say to it.
            if not agent.has_work(_known(question, reports)):
                continue
            try:
                reports.append(agent.run(_known(question, reports), task))
            except AgentStop as stop:
                best = stop.best or (reports[-1] if reports else "")
                if stop.failure in _OWN_LIMITS:
                    raise AgentStop(stop.failure, stop.reason, best) from stop
                reason = f"{agent.role.name} was stuck: {stop.failure.value}: {stop.reason}"
                raise AgentStop(FailureMode.DELEGATION_FAILURE, reason, best) from stop
        task.speaker = last.role.name
        if task.functions:
            last = function_agent(self._runtime, last.role.name, task)
        return last.run(_known(question, reports), task)


def _known(question: str, reports: Sequence[str]) -> str:
    return question + "".join(f"\nKnown: {report}" for report in reports)
