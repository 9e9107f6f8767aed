"""A supervisor without tools of its own that routes to specialists, then answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeagent.agent.functions import FunctionAgent, function_agent
from edgeagent.agent.loop import Agent, Role
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.fallback import run_with_fallback
from edgeagent.agent.roles import (
    FUNCTION_SUPERVISOR,
    FUNCTIONS_ROLE,
    LANGUAGE,
    SPECIALISTS,
    SUPERVISOR,
)
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.protocol import JsonSchema, object_schema, string_argument
from edgeagent.record.outcome import FailureMode, Outcome


@dataclass(frozen=True)
class Team:
    """A supervisor and those that it can ask.

    Attributes:
        name: The paradigm's name.
        supervisor: Who leads; its only tool is `ask`.
        specialists: Who is asked; those whose tools are all missing are left out.
        does: What each specialist is good for, by name, as the supervisor is told.
    """

    name: str
    supervisor: Role
    specialists: tuple[Role, ...]
    does: Mapping[str, str] = field(default_factory=dict)


BUILT_IN = Team(
    name="multi",
    supervisor=SUPERVISOR,
    specialists=SPECIALISTS,
    does={
        "quantitative": "computes",
        "knowledge": "searches the documents",
        "language": "writes and judges text",
    },
)


class Multi:
    """See the module. The routing decision is a call of the one tool `ask`."""

    name = BUILT_IN.name

    def __init__(self, runtime: Runtime, team: Team = BUILT_IN) -> None:
        """Prepare; nothing is prefilled yet."""
        self.name = team.name
        self._runtime = runtime
        self._base = Base(runtime)
        # Without documents there is nothing to search, and so nobody to ask about them.
        specialists = {
            role.name: Agent(runtime, role, tools)
            for role in team.specialists
            if (tools := runtime.select_tools(role.tools)) or not role.tools
        }
        self._ask = _Ask(specialists, team.does)
        self._supervisor = Agent(runtime, team.supervisor, (self._ask,))

    def warm_up(self) -> None:
        """Prefill the prefixes of supervisor, specialists and fallback."""
        self._supervisor.warm_up()
        for specialist in self._ask.specialists.values():
            specialist.warm_up()
        self._base.warm_up()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Let the supervisor work, else fall back to the base answer."""
        return run_with_fallback(
            self.name, lambda: self._attempt(question, task), question, task, self._base
        )

    def _attempt(self, question: str, task: TaskRun) -> str:
        if task.functions:
            return self._call_functions(question, task)
        self._ask.begin(question, task)
        task.speaker = self._supervisor.role.name
        return self._supervisor.run(question, task)

    def _call_functions(self, question: str, task: TaskRun) -> str:
        """Let a supervisor decide whether a function serves, then a specialist call it or answer.

        The supervisor is told their names with the question: so its own prefix stays cached.
        """
        caller = function_agent(self._runtime, FUNCTIONS_ROLE, task)
        words = Agent(self._runtime, LANGUAGE, ())
        ask = _Ask(
            {FUNCTIONS_ROLE: caller, LANGUAGE.name: words},
            {FUNCTIONS_ROLE: "calls functions", LANGUAGE.name: BUILT_IN.does[LANGUAGE.name]},
        )
        supervisor = FunctionAgent(self._runtime, FUNCTION_SUPERVISOR, (ask,))
        names = ", ".join(tool.name for tool in caller.tools)
        supervisor.run(f"{question}\nFunctions: {names}", task)
        ask.begin(question, task)
        task.speaker = FUNCTIONS_ROLE
        return ask.run(supervisor.called[0].arguments)


class _Ask:
    """The supervisor's only tool: hand the question to a specialist.

    The specialist gets the user's own words and the reports so far. A small supervisor that had
    to restate the question would lose half of it, and pay for every word.
    """

    name = "ask"
    is_delegate = True

    def __init__(self, specialists: Mapping[str, Agent], does: Mapping[str, str]) -> None:
        self.specialists = specialists
        duties = ", ".join(f"{name} {does[name]}" for name in specialists if name in does)
        self.description = f"Hand the question to a specialist{': ' if duties else ''}{duties}."
        self.parameters = object_schema(
            specialist={
                "type": "string",
                "enum": list(specialists),
                "description": "Who shall work on the question",
            }
        )
        self._question = ""
        self._task: TaskRun | None = None
        self._reports: list[str] = []
        self._asked: set[str] = set()

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer those whose tools have something to work on, or got it from a report."""
        able = [
            name
            for name, specialist in self.specialists.items()
            if name not in self._asked
            and specialist.is_able(question, results)
            and not (self._asked and specialist.is_able(question, ()))
        ]
        if not able:
            return None
        return object_schema(specialist={"type": "string", "enum": able})

    def begin(self, question: str, task: TaskRun) -> None:
        """Start a new task."""
        self._question, self._task, self._reports = question, task, []
        self._asked = set()

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return the specialist's report."""
        if self._task is None:
            raise AgentStop(FailureMode.DELEGATION_FAILURE, "no task was begun")
        name = string_argument(arguments, "specialist")
        specialist = self.specialists.get(name)
        if specialist is None:
            raise AgentStop(FailureMode.DELEGATION_FAILURE, f"there is no specialist {name!r}")
        self._asked.add(name)
        known = "".join(f"\nKnown: {report}" for report in self._reports)
        try:
            report = specialist.run(self._question + known, self._task)
        except AgentStop as stop:
            if stop.failure is FailureMode.TIMEOUT:
                raise
            reason = f"the specialist {name} was stuck: {stop.failure.value}: {stop.reason}"
            raise AgentStop(FailureMode.DELEGATION_FAILURE, reason, stop.best) from stop
        self._reports.append(report)
        return report
