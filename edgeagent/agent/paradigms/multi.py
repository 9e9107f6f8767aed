"""A supervisor without tools of its own that routes to specialists, then answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeagent.agent.functions import FunctionAgent, function_agent
from edgeagent.agent.groups import Rows
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
from edgeagent.agent.together import run_together
from edgeagent.agent.tools.protocol import JsonSchema, Tool, object_schema, string_argument
from edgeagent.errors import ResourceError
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
            if (tools := _tools_of(role, team, runtime)) or not role.tools
        }
        self._ask = _Ask(runtime, specialists, team.does)
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
            self._runtime,
            {FUNCTIONS_ROLE: caller, LANGUAGE.name: words},
            {FUNCTIONS_ROLE: "calls functions", LANGUAGE.name: BUILT_IN.does[LANGUAGE.name]},
        )
        supervisor = FunctionAgent(self._runtime, FUNCTION_SUPERVISOR, (ask,))
        names = ", ".join(tool.name for tool in caller.tools)
        supervisor.run(f"{question}\nFunctions: {names}", task)
        ask.begin(question, task)
        task.speaker = FUNCTIONS_ROLE
        return ask.run(supervisor.called[0].arguments)


def _tools_of(role: Role, team: Team, runtime: Runtime) -> tuple[Tool, ...]:
    """Return a specialist's tools; `*` is all that no specialist of the team names."""
    names = [name for name in role.tools if name != "*"]
    if len(names) < len(role.tools):
        taken = {name for other in team.specialists for name in other.tools}
        names += [name for name in runtime.tools if name not in taken]
    return runtime.select_tools(names)


class _Ask:
    """The supervisor's only tool: hand the question to a specialist.

    The specialist gets the user's own words and the reports so far. A small supervisor that had
    to restate the question would lose half of it, and pay for every word.
    """

    name = "ask"
    is_delegate = True

    def __init__(
        self, runtime: Runtime, specialists: Mapping[str, Agent], does: Mapping[str, str]
    ) -> None:
        self._runtime = runtime
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
        name, task = self._named(arguments), self._begun()
        self._asked.add(name)
        try:
            report = self.specialists[name].run(self._known(), task)
        except AgentStop as stop:
            raise _failed(name, stop) from stop
        self._reports.append(report)
        return report

    def run_together(self, arguments: Sequence[Mapping[str, object]]) -> list[str]:
        """Return the reports of several specialists who do not know of one another's."""
        named = [self._named(one) for one in arguments]
        names = list(dict.fromkeys(named))
        rows = self._rows(names)
        if rows is None:
            reports = {name: self.run({"specialist": name}) for name in names}
            return [reports[name] for name in named]
        task, question = self._begun(), self._known()
        self._asked.update(names)
        at = {name: rows.names.index(name) for name in names}
        dialogues = {at[name]: self.specialists[name].dialogue(question, task) for name in names}
        results = run_together(rows, dialogues, task, name="+".join(names))
        reports = {name: result for name in names if isinstance(result := results[at[name]], str)}
        self._reports += reports.values()
        for name in names:
            stop = results[at[name]]
            if isinstance(stop, AgentStop):
                best = stop.best or "\n".join(reports.values())
                raise _failed(name, AgentStop(stop.failure, stop.reason, best)) from stop
        return [reports[name] for name in named]

    def _rows(self, names: Sequence[str]) -> Rows | None:
        """Return where these specialists can work together, `None` if nowhere.

        Only in the same weights, on a device where batches are run, and with the memory for it:
        the first time costs a second copy of the weights and of the specialists' prefixes.
        """
        asked = {self._voice(self.specialists[name]) for name in names}
        voice = asked.pop()
        model, adapter = voice
        if len(names) < 2 or asked:
            return None
        if self._runtime.model(model).engine.info.ep != "cpu":
            return None
        group = [name for name, one in self.specialists.items() if self._voice(one) == voice]
        try:
            return self._runtime.rows("+".join(group), group, model=model, adapter=adapter)
        except ResourceError:
            return None

    def _voice(self, specialist: Agent) -> tuple[str | None, str | None]:
        return specialist.role.model, specialist.role.adapter

    def _named(self, arguments: Mapping[str, object]) -> str:
        name = string_argument(arguments, "specialist")
        if name not in self.specialists:
            raise AgentStop(FailureMode.DELEGATION_FAILURE, f"there is no specialist {name!r}")
        return name

    def _begun(self) -> TaskRun:
        if self._task is None:
            raise AgentStop(FailureMode.DELEGATION_FAILURE, "no task was begun")
        return self._task

    def _known(self) -> str:
        return self._question + "".join(f"\nKnown: {report}" for report in self._reports)


def _failed(name: str, stop: AgentStop) -> AgentStop:
    """Return what a stuck specialist means for the supervisor: limits of the task end both."""
    if stop.failure is FailureMode.TIMEOUT:
        return AgentStop(stop.failure, stop.reason, stop.best)
    reason = f"the specialist {name} was stuck: {stop.failure.value}: {stop.reason}"
    return AgentStop(FailureMode.DELEGATION_FAILURE, reason, stop.best)
