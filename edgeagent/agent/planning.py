r"""Plans: which tools are called for a question, written down in one turn before any is run.

A step names a tool with its arguments, or with the steps whose results the arguments will be made
of::

    1. search {"query": "courses Tern Bay sailing school cost"}
    2. calculator #1

That much a model of half a billion weights can write: the grammar leaves it the choice of the tool
and the arguments. Models that are not grounded may also write `#1` inside an argument.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeagent.agent.chat.conversation import Conversation
from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.notation import JSON
from edgeagent.agent.formats.protocol import Call, Example
from edgeagent.agent.formats.schema import literal, value_rules
from edgeagent.agent.loop import Role
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.protocol import Offer, Tool, offers
from edgeagent.agent.turns import TurnRequest
from edgeagent.engine.protocol import DecodeParams
from edgeagent.record.outcome import FailureMode, Step, StepKind
from edgeagent.record.spans import SpanKind

INSTRUCTIONS = (
    "Plan which tools to call for the question, before any is called. Write one step a line. Where "
    "a step needs the result of an earlier one, write its number, such as #1, instead of arguments."
)
NO_TOOL = "No tool."
MAX_STEPS = 4
MAX_SHORT_CHARS = 40
"""Longest result that is put in the place of its number; of longer ones the model takes what it
needs."""

_VARIABLES = {"enable_thinking": False}
"""A plan is all the thinking there is, also of models whose template would open a section."""

_LINE = re.compile(r"\d+\. (?P<tool>\S+) (?P<rest>.+)")
_REFERENCE = re.compile(r"#(\d{1,2})\b")
_WORD = re.compile(r"\w+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan.

    Attributes:
        tool: The tool.
        arguments: Its arguments, maybe with references such as `#1`; `None` if they are to be
            written when the results that they need are there.
    """

    tool: str
    arguments: Mapping[str, object] | None = None

    def filled(self, results: Mapping[int, str]) -> Call | None:
        """Return the call with results in the place of their numbers.

        Args:
            results: What earlier steps brought, by their numbers.

        Returns:
            `None` if something is still missing, or is too long to be an argument.
        """
        if self.arguments is None:
            return None
        filled = dict(self.arguments)
        for name, value in filled.items():
            if not isinstance(value, str):
                continue
            for number in map(int, _REFERENCE.findall(value)):
                found = results.get(number, "")
                if not found or len(found) > MAX_SHORT_CHARS or "\n" in found:
                    return None
            filled[name] = _REFERENCE.sub(lambda match: results[int(match[1])], value)
        return Call(self.tool, filled)


class Planner:
    """Writes plans, in a conversation of its own."""

    def __init__(self, runtime: Runtime, role: Role, tools: Sequence[Tool]) -> None:
        """Prepare to plan for an agent; nothing is prefilled yet.

        Args:
            runtime: What paradigms share.
            role: The agent that will carry the plan out; its worked examples become plans.
            tools: What it may call.
        """
        self._runtime = runtime
        self._role = role
        self._name = f"{role.name}_planner"
        self._model = runtime.model(role.model)
        self._tools = tuple(tools)
        lines = [INSTRUCTIONS, "Tools:", *(f"- {tool.name}: {tool.description}" for tool in tools)]
        self._prefix: list[Message] = [{"role": "system", "content": "\n".join(lines)}]
        names = {tool.name for tool in tools}
        for example in role.examples:
            if all(call.tool in names for turn in example.turns for call in turn.calls):
                self._prefix += [
                    {"role": "user", "content": example.question},
                    {"role": "assistant", "content": example_plan(example)},
                ]

    def warm_up(self) -> None:
        """Prefill instructions and examples."""
        self._conversation().warm_up(TurnRequest(self._prefix, variables=_VARIABLES))

    def plan(self, question: str, task: TaskRun) -> tuple[PlannedStep, ...]:
        """Return the steps for a question, none if it needs no tool.

        Raises:
            AgentStop: A limit is used up, or nothing of the plan can be read.
        """
        question = self._model.neutralize(question)
        budget = self._runtime.budget
        offered = offers(self._tools, question, (), narrow=self._model.grounded)
        grammar = plan_grammar(
            offered,
            [tool.name for tool in self._tools],
            may_be_empty=not self._role.must_call_first,
        )
        params = DecodeParams(
            max_new_tokens=2 * budget.max_new_tokens,
            grammar=grammar if budget.constrained else None,
        )
        messages = [*self._prefix, {"role": "user", "content": question}]
        with task.recorder.span(SpanKind.ORCHESTRATE, self._name, "plan"):
            task.turns += 1
            text = self._conversation().turn(
                TurnRequest(messages, params=params, variables=_VARIABLES),
                recorder=task.recorder,
                limits=task.limits,
                on_text=task.text_sink(self._name, lambda _text: ""),
            )
        task.add(Step(agent=self._name, kind=StepKind.THOUGHT, text=text.strip()))
        steps = tuple(
            step for step in read_plan(text) if step.tool in {t.name for t in self._tools}
        )
        if not steps and text.strip() != NO_TOOL:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, "nothing of the plan can be read")
        return steps

    def _conversation(self) -> Conversation:
        role = self._role
        return self._runtime.conversation(self._name, model=role.model, adapter=role.adapter)


def plan_grammar(offered: Sequence[Offer], later: Sequence[str], *, may_be_empty: bool) -> str:
    """Return the Lark grammar of a plan.

    Args:
        offered: What can be called right away.
        later: Names of all tools: each may be used on the result of an earlier step.
        may_be_empty: Whether a plan may say that no tool is needed.
    """
    starts = [literal(NO_TOOL)] if may_be_empty or not offered else []
    lines = []
    if offered:
        starts.append("step_1")
        calls = [f"call_{index}" for index, _ in enumerate(offered)]
        for index, tool in enumerate(offered):
            lines.append(f"call_{index}: {literal(f'{tool.name} ')} args_{index}")
            lines += value_rules(f"args_{index}", tool.parameters)
        lines.append(f"call: {' | '.join(calls)}")
        lines.append(f"later: {' | '.join(literal(f'{name} ') for name in later)}")
        for number in range(1, MAX_STEPS + 1):
            more = f" more_{number + 1}?" if number < MAX_STEPS else ""
            if number == 1:
                lines.append(f"step_1: {literal('1. ')} call{more}")
                continue
            known = " | ".join(literal(f"#{earlier}") for earlier in range(1, number))
            lines.append(f"known_{number}: {known}")
            lines.append(f"then_{number}: later known_{number}")
            opening = literal(f"\n{number}. ")
            lines.append(f"more_{number}: {opening} (call | then_{number}){more}")
    return "\n".join([f"start: {' | '.join(starts)}", *lines])


def read_plan(text: str) -> tuple[PlannedStep, ...]:
    """Return the steps of a plan; a line that was cut off is left out, and what is there twice."""
    found: dict[str, PlannedStep] = {}
    for line in text.strip().splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        tool, rest = match["tool"], match["rest"]
        if rest.startswith("#"):
            found[line.partition(" ")[2]] = PlannedStep(tool)
            continue
        try:
            arguments = json.loads(rest)
        except ValueError:
            continue
        if isinstance(arguments, dict):
            found[Call(tool, arguments).key()] = PlannedStep(tool, arguments)
    return tuple(found.values())[:MAX_STEPS]


def example_plan(example: Example) -> str:
    """Return the plan that a worked example would have begun with."""
    calls = [call for turn in example.turns for call in turn.calls]
    lines = []
    for index, call in enumerate(calls):
        source = _source(call, example, index)
        rest = JSON.write(call.arguments) if source is None else f"#{source}"
        lines.append(f"{index + 1}. {call.tool} {rest}")
    return "\n".join(lines) or NO_TOOL


def _source(call: Call, example: Example, index: int) -> int | None:
    """Return the step whose result the arguments are made of, `None` if the question states all."""
    arguments = _words(json.dumps(call.arguments, ensure_ascii=False))
    missing = arguments - _words(example.question)
    for earlier in reversed(range(index)):
        if missing & _words(example.observations[earlier]):
            return earlier + 1
    return None


def _words(text: str) -> set[str]:
    return {word.lower().replace(",", "") for word in _WORD.findall(text)}
