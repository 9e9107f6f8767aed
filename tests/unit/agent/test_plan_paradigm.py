from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.paradigms.plan import Plan
from edgeagent.agent.planning import (
    MAX_STEPS,
    NO_TOOL,
    PlannedStep,
    example_plan,
    plan_grammar,
    read_plan,
)
from edgeagent.agent.roles import SINGLE
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import Offer, Tool, object_schema, string_argument, text_schema
from edgeagent.config.run import Budget
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ToolError
from edgeagent.record.outcome import FailureMode, Outcome, StepKind
from edgeagent.record.spans import SpanKind

CONTEXT_LEN = 65536
Reply = Callable[[str], str]


class Lookup:
    """Knows prices; several lookups of one turn have to run at the same time if there is a gate."""

    name = "search"
    is_delegate = False
    description = "Look a price up."
    parameters = object_schema(query=text_schema("What to look up", 40))

    def __init__(self, prices: Mapping[str, str], gate: threading.Barrier | None = None) -> None:
        self._prices = prices
        self._gate = gate

    def run(self, arguments: Mapping[str, object]) -> str:
        if self._gate is not None:
            self._gate.wait(timeout=10)
        query = string_argument(arguments, "query")
        if query not in self._prices:
            raise ToolError("nothing was found")
        return self._prices[query]


def run(
    reply: Reply,
    tools: Sequence[Tool],
    *,
    question: str = "What do 3 lamps cost?",
    tool_call_format: str = "hermes",
    functions: Sequence[Mapping[str, object]] = (),
    **budget: object,
) -> tuple[Outcome, TaskRun]:
    settings = Budget.model_validate({"max_context_len": CONTEXT_LEN, "grounding": False, **budget})
    runtime = Runtime(
        ScriptedEngine(reply, context_len=CONTEXT_LEN), tools, settings, tool_call_format
    )
    task = TaskRun(60, functions=functions)
    outcome = Plan(runtime).run(question, task)
    runtime.close()
    return outcome, task


def is_planner(conversation: str) -> bool:
    return "Plan which tools" in conversation


def calls(outcome: Outcome) -> list[tuple[str, dict[str, object]]]:
    return [(s.tool, s.arguments) for s in outcome.steps if s.kind is StepKind.CALL]


def decodes(task: TaskRun) -> list[str]:
    return [span.agent for span in task.recorder.trace() if span.kind is SpanKind.DECODE]


def test_complete_steps_cost_no_turn_and_run_at_the_same_time() -> None:
    gate = threading.Barrier(2)

    def reply(conversation: str) -> str:
        if is_planner(conversation):
            return '1. search {"query": "lamp"}\n2. search {"query": "mat"}'
        assert "34 crowns" in conversation
        assert "12 crowns" in conversation
        return "34 and 12 crowns."

    tool = Lookup({"lamp": "34 crowns", "mat": "12 crowns"}, gate)
    outcome, task = run(reply, [tool])
    assert outcome.answer == "34 and 12 crowns."
    assert outcome.completed_unaided
    assert calls(outcome) == [("search", {"query": "lamp"}), ("search", {"query": "mat"})]
    assert decodes(task) == ["agent_planner", "agent"]
    assert outcome.turns == 2


def test_a_result_takes_the_place_of_its_number() -> None:
    def reply(conversation: str) -> str:
        if is_planner(conversation):
            return '1. search {"query": "lamp"}\n2. calculator {"expression": "3 * #1"}'
        return "102 crowns."

    outcome, task = run(reply, [Lookup({"lamp": "34"}), Calculator()])
    assert calls(outcome)[1] == ("calculator", {"expression": "3 * 34"})
    assert decodes(task) == ["agent_planner", "agent"]
    observed = [step.text for step in outcome.steps if step.kind is StepKind.OBSERVATION]
    assert observed == ["34", "102"]


@pytest.mark.parametrize("step", ["calculator #1", 'calculator {"expression": "3 * #1"}'])
def test_arguments_out_of_a_longer_result_are_written_by_the_model(step: str) -> None:
    found = "The lamp of the northern pier costs 34 crowns since spring."

    def reply(conversation: str) -> str:
        if is_planner(conversation):
            return f'1. search {{"query": "lamp"}}\n2. {step}'
        if "102" in conversation:
            return "102 crowns."
        assert found in conversation
        arguments = {"name": "calculator", "arguments": {"expression": "3 * 34"}}
        return f"<tool_call>\n{json.dumps(arguments)}\n</tool_call>"

    outcome, task = run(reply, [Lookup({"lamp": found}), Calculator()])
    assert outcome.answer == "102 crowns."
    assert calls(outcome)[1] == ("calculator", {"expression": "3 * 34"})
    assert decodes(task) == ["agent_planner", "agent", "agent"]


def test_turns_are_limited_also_for_the_steps_of_a_plan() -> None:
    found = "The lamp of the northern pier costs 34 crowns since spring."

    def reply(conversation: str) -> str:
        if is_planner(conversation):
            steps = "\n".join(f"{number}. calculator #{number - 1}" for number in (2, 3, 4))
            return f'1. search {{"query": "lamp"}}\n{steps}'
        if "Result" in conversation or conversation.count("34") > 4:
            return "Many."
        arguments = {"name": "calculator", "arguments": {"expression": "3 * 34"}}
        return f"<tool_call>\n{json.dumps(arguments)}\n</tool_call>"

    outcome, task = run(reply, [Lookup({"lamp": found}), Calculator()], max_turns=1)
    assert decodes(task) == ["agent_planner", "agent", "agent"]  # plan, one step, the answer
    assert outcome.completed


def test_a_grounded_model_does_what_results_open_although_nobody_planned_it() -> None:
    class Prices(Lookup):
        def offer(self, question: str, results: Sequence[str]) -> Mapping[str, object] | None:
            return None if results else object_schema(query={"enum": ["lamp"]})

    def reply(conversation: str) -> str:
        if is_planner(conversation):
            return '1. search {"query": "lamp"}'
        return "Thought: I must use calculator."

    outcome, _ = run(
        reply,
        [Prices({"lamp": "A lamp costs 34 crowns."}), Calculator()],
        tool_call_format="compact",
        grounding=True,
    )
    assert [tool for tool, _ in calls(outcome)] == ["search", "calculator"]
    assert outcome.completed_unaided


def test_a_plan_may_be_that_no_tool_is_needed() -> None:
    outcome, task = run(
        lambda text: NO_TOOL if is_planner(text) else "Good morning.", [Calculator()]
    )
    assert outcome.answer == "Good morning."
    assert calls(outcome) == []
    assert decodes(task) == ["agent_planner", "agent"]


def test_after_a_plan_that_failed_the_agent_works_step_by_step() -> None:
    def reply(conversation: str) -> str:
        if is_planner(conversation):
            return '1. calculator {"expression": "three lamps"}'
        if "102" in conversation:
            return "102 crowns."
        arguments = {"name": "calculator", "arguments": {"expression": "3 * 34"}}
        return f"<tool_call>\n{json.dumps(arguments)}\n</tool_call>"

    outcome, _ = run(reply, [Calculator()])
    assert outcome.answer == "102 crowns."
    assert len(calls(outcome)) == 2
    assert outcome.completed_unaided


def test_of_a_plan_that_was_cut_off_the_whole_lines_are_carried_out() -> None:
    line = 'calculator {"expression": "%s"}'

    def reply(conversation: str) -> str:
        if is_planner(conversation):
            return f"1. {line % '3 * 34'}\n2. {line % '1 + 1 + 1 + 1'}"
        return "102."

    outcome, _ = run(reply, [Calculator()], max_new_tokens=30)  # a plan has twice as many
    assert calls(outcome) == [("calculator", {"expression": "3 * 34"})]
    assert outcome.completed_unaided


def test_a_plan_that_cannot_be_read_falls_back_and_says_so() -> None:
    outcome, _ = run(
        lambda text: "Let us see." if is_planner(text) else "About 100.",
        [Calculator()],
        constrained=False,
    )
    assert outcome.failure is FailureMode.PROTOCOL_VIOLATION
    assert outcome.fell_back
    assert outcome.answer == "About 100."


def test_functions_of_a_task_are_called_as_by_a_single_agent() -> None:
    function = {
        "name": "book",
        "description": "Book a berth.",
        "parameters": object_schema(berth={"type": "integer"}),
    }
    call = {"name": "book", "arguments": {"berth": 4}}
    outcome, task = run(
        lambda _text: f"<tool_call>\n{json.dumps(call)}\n</tool_call>",
        [Calculator()],
        functions=[function],
    )
    assert calls(outcome) == [("book", {"berth": 4})]
    assert decodes(task) == ["agent"]


def test_without_tools_it_answers_like_the_base_model() -> None:
    outcome, task = run(lambda _text: "Hello.", [])
    assert outcome.answer == "Hello."
    assert decodes(task) == ["base"]


def test_steps_are_read_without_repetition_and_at_most_a_few() -> None:
    line = 'calculator {"expression": "1 + 1"}'
    assert read_plan(f"1. {line}\n2. {line}\n3. search #1\n4. search #1\n5. sea") == (
        PlannedStep("calculator", {"expression": "1 + 1"}),
        PlannedStep("search"),
    )
    many = "\n".join(f'{n}. calculator {{"expression": "{n} + 1"}}' for n in range(1, 9))
    assert len(read_plan(many)) == MAX_STEPS


def test_references_to_what_is_not_there_leave_a_step_open() -> None:
    step = PlannedStep("calculator", {"expression": "#1 + #2", "digits": 3})
    assert step.filled({1: "4"}) is None
    assert step.filled({1: "4", 2: "a\nb"}) is None
    assert step.filled({1: "4", 2: "9" * 60}) is None
    assert step.filled({1: "4", 2: "5"}) == Call("calculator", {"expression": "4 + 5", "digits": 3})


def test_worked_examples_become_plans() -> None:
    plans = {example.question: example_plan(example) for example in SINGLE.examples}
    two = next(plan for plan in plans.values() if "\n" in plan)
    first, second = two.splitlines()
    assert first.startswith('1. search {"query": ')
    assert second == "2. calculator #1"
    assert NO_TOOL in plans.values()


def test_a_second_step_that_needs_no_result_is_written_out() -> None:
    example = Example(
        "Add 1 and 2, and 3 and 4.",
        (
            Turn(calls=(Call("calculator", {"expression": "1 + 2"}),)),
            Turn(calls=(Call("calculator", {"expression": "3 + 4"}),)),
            Turn(answer="3 and 7"),
        ),
        ("3", "7"),
    )
    assert example_plan(example) == (
        '1. calculator {"expression": "1 + 2"}\n2. calculator {"expression": "3 + 4"}'
    )


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (NO_TOOL, True),
        ('1. calculator {"expression": "1 + 1"}', True),
        ('1. calculator {"expression": "1 + 1"}\n2. search #1', True),
        ('1. calculator {"expression": "1 + 1"}\n2. search #2', False),
        ("1. search #1", False),
        ('1. search {"query": "lamp"}', False),
        ("Call the calculator.", False),
    ],
)
def test_the_grammar_lets_a_plan_use_what_is_there(text: str, *, fits: bool) -> None:
    engine = ScriptedEngine(lambda _text: "")
    grammar = plan_grammar(
        [Offer("calculator", Calculator.parameters)], ["calculator", "search"], may_be_empty=True
    )
    matcher = engine.matcher(grammar)
    accepted = True
    for byte in text.encode():
        logits = engine.open(8).next_logits()
        logits[:] = 0.0
        allowed = matcher.mask(logits)
        if allowed[byte] != 0.0:
            accepted = False
            break
        matcher.consume([byte])
    assert accepted is fits
