"""Plan once, carry the plan out, answer: calls that know of one another only by their results."""

from __future__ import annotations

from collections.abc import Sequence

from edgeagent.agent.calls import Called, run_calls
from edgeagent.agent.compaction import Exchange
from edgeagent.agent.dialogue import Talk
from edgeagent.agent.formats.protocol import Call, Example, Observation, Turn, TurnRules
from edgeagent.agent.functions import function_agent
from edgeagent.agent.loop import Agent, Role
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.fallback import run_with_fallback
from edgeagent.agent.planning import PlannedStep, Planner
from edgeagent.agent.roles import SINGLE
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.protocol import Offer, offers
from edgeagent.agent.tools.sentences import sentences
from edgeagent.agent.turns import Dialogue
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind


class Plan:
    """See the module. One turn plans; steps that are complete are run without another turn.

    A further turn is spent only on a step whose arguments have to be taken out of results, and one
    on the answer. Steps that do not need one another run overlapped.
    """

    name = "plan"

    def __init__(self, runtime: Runtime, role: Role = SINGLE, name: str = "plan") -> None:
        """Prepare; nothing is prefilled yet.

        Args:
            runtime: What paradigms share.
            role: Who carries plans out and answers.
            name: The paradigm's name.
        """
        self.name = name
        self._runtime = runtime
        self._base = Base(runtime, model=role.model)
        tools = runtime.select_tools(role.tools)
        self._planner = Planner(runtime, role, tools)
        self._agent = _Executor(runtime, role, tools)

    def warm_up(self) -> None:
        """Prefill the prefixes of planner, agent and fallback."""
        self._planner.warm_up()
        self._agent.warm_up()
        self._base.warm_up()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Plan, carry out, answer, else fall back to the base answer."""
        return run_with_fallback(
            self.name, lambda: self._attempt(question, task), question, task, self._base
        )

    def _attempt(self, question: str, task: TaskRun) -> str:
        agent = self._agent
        task.speaker = agent.role.name
        if task.functions:  # their calls are the plan
            return function_agent(self._runtime, agent.role.name, task).run(question, task)
        if agent.tools and agent.has_work(question):
            agent.steps = self._planner.plan(question, task)
            return agent.run(question, task)
        answer = self._base.answer(question, task, task.limits)
        if not answer:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
        task.add(Step(agent=agent.role.name, kind=StepKind.ANSWER, text=answer))
        return answer


class _Executor(Agent):
    """An agent that carries out what was planned for it."""

    steps: tuple[PlannedStep, ...] = ()

    def dialogue(self, question: str, task: TaskRun) -> Dialogue:
        """Return the turns that the plan leaves to the model."""
        question = self.model.neutralize(question)
        return _PlannedTalk(self, self._runtime, question, task, self.steps).turns()


class _PlannedTalk(Talk):
    """A dialogue whose calls were planned."""

    def __init__(
        self,
        agent: Agent,
        runtime: Runtime,
        question: str,
        task: TaskRun,
        steps: Sequence[PlannedStep],
    ) -> None:
        super().__init__(agent, runtime, question, task)
        self._steps = dict(enumerate(steps, 1))
        self._found: dict[int, str] = {}
        self._written = 0

    def _turns(self) -> Dialogue:
        while self._steps:
            ready = {
                number: call
                for number, step in self._steps.items()
                if (call := step.filled(self._found)) is not None
            }
            if ready:
                self._run(ready)
            else:
                number = min(self._steps)
                yield from self._written_now(number, self._steps.pop(number))
        for _ in self._agent.tools:  # what results opened and nobody had planned
            opened = self._opened(self._offered(self._log.results))
            if not opened:
                break
            yield from self._call(opened)
        if self._log and not self._log.results:
            # Nothing of the plan worked, so the agent sees why and works step by step.
            return (yield from super()._turns())
        self._must_answer = True
        return (yield from super()._turns())

    def _run(self, ready: dict[int, Call]) -> None:
        """Run calls that are complete, overlapped, as if the model had just made them."""
        called = run_calls(tuple(ready.values()), self._agent, self._budget, self._task)
        for number, one in zip(ready, called, strict=True):
            del self._steps[number]
            self._note(number, one)
            self._exchanges.append(
                Exchange(self._as_turn(one.call), (Observation(one.call, one.shown),))
            )

    def _note(self, number: int, called: Called) -> None:
        self._log.add(called)
        if called.failed:
            return
        self._found[number] = called.result
        if self._model.grounded:
            self._quotes = sentences(called.result)

    def _written_now(self, number: int, step: PlannedStep) -> Dialogue:
        """Let the model write the arguments of a step, now that results are there."""
        tools = [tool for tool in self._agent.tools if tool.name == step.tool]
        if self._model.grounded and self._log.used(step.tool):
            return ""
        offered = offers(tools, self._question, self._log.results, narrow=self._model.grounded)
        before = len(self._log.results)
        if offered:
            yield from self._call(offered)
        if len(self._log.results) > before:
            self._found[number] = self._log.best
        return ""

    def _call(self, offered: Sequence[Offer]) -> Dialogue:
        """Ask for a call of one of these tools and run it, if there are turns left for that."""
        if self._written == self._budget.max_turns:
            return ""
        self._written += 1
        rules = TurnRules(tuple(offered), may_answer=False, has_result=bool(self._log))
        text = yield from self._generate(rules)
        turn = self._parse(text)
        if turn is not None and turn.calls:
            self._called(text, turn)
        return ""

    def _as_turn(self, call: Call) -> str:
        """Return a planned call as the model itself would have written it."""
        shown = self._model.format.example(
            Example(self._question, (Turn(calls=(call,)), Turn(answer="-")), ("-",))
        )
        return str(shown[1]["content"]) if len(shown) > 1 else call.key()
