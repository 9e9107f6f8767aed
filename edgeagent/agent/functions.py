"""Tasks that bring functions along: the calls are the answer, and nothing is run.

That is how function-calling benchmarks ask, and how a program asks that runs the calls by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from edgeagent.agent.formats.protocol import Call, TurnRules
from edgeagent.agent.loop import Agent, Role
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.protocol import JsonSchema, Tool, offers
from edgeagent.agent.tools.serves import offer_stated
from edgeagent.agent.turns import Dialogue, TurnRequest
from edgeagent.engine.protocol import DecodeParams
from edgeagent.errors import ToolError
from edgeagent.record.outcome import FailureMode, Step, StepKind

INSTRUCTIONS = (
    "You are a helpful assistant. If one of the functions serves the question, call it with the "
    "arguments that the question states. If none does, say so in one short sentence."
)
MAX_CALLS = 8
"""Most calls of one turn: benchmarks ask for up to six at once."""

MAX_NEW_TOKENS = 512
"""Room for that many calls."""


class Function:
    """A function that a task describes; it is called and never run."""

    is_delegate = False

    def __init__(self, description: Mapping[str, object]) -> None:
        """Take an OpenAI function description: `name`, `description`, `parameters`."""
        self.name = str(description["name"])
        self.description = str(description.get("description", ""))
        parameters = description.get("parameters")
        self.parameters: JsonSchema = parameters if isinstance(parameters, Mapping) else {}

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Return what the question states something for, `None` if it is about something else."""
        del results  # there is one turn
        return offer_stated(self, question)

    def run(self, arguments: Mapping[str, object]) -> str:
        """Refuse: there is nothing behind the name."""
        raise ToolError(f"{self.name} cannot be run here")


class FunctionAgent(Agent):
    """An agent whose only turn is either calls or an answer in words."""

    def __init__(self, runtime: Runtime, role: Role, functions: Sequence[Tool]) -> None:
        """Prepare; nothing is prefilled yet."""
        super().__init__(runtime, role, functions)
        self._budget = runtime.budget
        self.called: tuple[Call, ...] = ()
        """The calls of its last turn."""

    def dialogue(self, question: str, task: TaskRun) -> Dialogue:
        """Return the one turn."""
        return self._one_turn(self.model.neutralize(question), task)

    def _one_turn(self, question: str, task: TaskRun) -> Dialogue:
        text_format, budget = self.model.format, self._budget
        must_call = self.role.must_call_first
        offered = offers(self.tools, question, (), narrow=self.model.grounded)
        rules = TurnRules(
            offered or (self.tools if must_call else ()),
            may_answer=not must_call,
            max_calls=1 if must_call else MAX_CALLS,
            max_thinking_tokens=budget.max_thinking_tokens,
        )
        params = DecodeParams(
            max_new_tokens=max(budget.max_new_tokens, MAX_NEW_TOKENS) + rules.max_thinking_tokens,
            grammar=text_format.grammar(rules) if budget.constrained else None,
        )
        prefix = self.prefix
        text = yield TurnRequest(
            self.opening(question), prefix.tools, params, prefix.variables, text_format.answer_part
        )
        try:
            turn = text_format.parse(text)
        except ValueError as error:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, str(error)) from error
        self.called = turn.calls
        add_calls(turn.calls, self.role.name, task)
        answer = calls_text(turn.calls) if turn.calls else turn.answer
        if not answer:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "the answer is empty")
        task.add(Step(agent=self.role.name, kind=StepKind.ANSWER, text=answer))
        return answer


def calls_text(calls: Sequence[Call]) -> str:
    """Return calls as JSON, one a line."""
    return "\n".join(
        json.dumps({"name": call.tool, "arguments": call.arguments}, ensure_ascii=False)
        for call in calls
    )


def add_calls(calls: Sequence[Call], agent: str, task: TaskRun) -> None:
    """Record calls as steps."""
    for call in calls:
        task.add(Step(agent=agent, kind=StepKind.CALL, tool=call.tool, arguments=call.arguments))


def function_agent(runtime: Runtime, name: str, task: TaskRun) -> FunctionAgent:
    """Return an agent for the functions of a task; it speaks in the conversation of role `name`."""
    return FunctionAgent(
        runtime,
        Role(name=name, instructions=INSTRUCTIONS),
        tuple(Function(description) for description in task.functions),
    )
