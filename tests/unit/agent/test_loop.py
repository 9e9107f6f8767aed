from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping

import pytest

from edgeagent.agent.loop import Agent, Role
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import Tool
from edgeagent.config.run import Budget
from edgeagent.engine.scripted import ScriptedEngine, replies
from edgeagent.record.outcome import FailureMode, StepKind
from edgeagent.record.spans import SpanKind

ROLE = Role(name="agent", instructions="You compute.", tools=("calculator",))


def call(expression: str, tool: str = "calculator") -> str:
    arguments = json.dumps({"expression": expression})
    return f'<tool_call>\n{{"name": "{tool}", "arguments": {arguments}}}\n</tool_call>'


def make_agent(
    reply: Callable[[str], str],
    role: Role = ROLE,
    budget: Budget | None = None,
    tool_call_format: str = "hermes",
) -> Agent:
    budget = budget or Budget(grounding=False)
    runtime = Runtime(ScriptedEngine(reply), [Calculator()], budget, tool_call_format)
    return Agent(runtime, role, runtime.select_tools(role.tools))


def kinds(task: TaskRun) -> list[StepKind]:
    return [step.kind for step in task.steps if step.kind is not StepKind.THOUGHT]


def test_an_answer_ends_the_loop() -> None:
    task = TaskRun(60)
    assert make_agent(replies("It is blue.")).run("What colour?", task) == "It is blue."
    assert kinds(task) == [StepKind.ANSWER]
    assert task.turns == 1


def test_the_result_of_a_call_comes_back() -> None:
    seen: list[str] = []

    def reply(conversation: str) -> str:
        seen.append(conversation)
        return call("23 * 47") if len(seen) == 1 else "It is 1081."

    task = TaskRun(60)
    assert make_agent(reply).run("23 times 47?", task) == "It is 1081."
    assert kinds(task) == [StepKind.CALL, StepKind.OBSERVATION, StepKind.ANSWER]
    assert task.steps[-2].text == "1081"
    assert "1081" in seen[1]
    assert seen[1].startswith(seen[0])
    tools = [span for span in task.recorder.trace() if span.kind is SpanKind.TOOL]
    assert [span.name for span in tools] == ["calculator"]


def test_the_failure_of_a_tool_is_an_observation() -> None:
    task = TaskRun(60)
    agent = make_agent(replies(call("1 / 0"), "That cannot be computed."))
    assert agent.run("1 / 0?", task) == "That cannot be computed."
    observation = next(step for step in task.steps if step.kind is StepKind.OBSERVATION)
    assert "division by zero" in observation.text


def test_a_defect_of_a_tool_is_an_observation_too() -> None:
    class Broken:
        name = "calculator"
        is_delegate = False
        description = "Breaks"
        parameters = Calculator.parameters

        def run(self, arguments: Mapping[str, object]) -> str:
            raise KeyError("secret detail")

    tool: Tool = Broken()
    engine = ScriptedEngine(replies(call("1 + 1"), "That did not work."), context_len=32768)
    budget = Budget(max_context_len=32768, grounding=False)
    runtime = Runtime(engine, [tool], budget, tool_call_format="hermes")
    task = TaskRun(60)
    assert Agent(runtime, ROLE, [tool]).run("What is 1 + 1?", task) == "That did not work."
    observation = next(step for step in task.steps if step.kind is StepKind.OBSERVATION)
    assert observation.text == "Error: the tool failed (KeyError)"


def test_long_tool_output_is_cut() -> None:
    class Long:
        name = "calculator"
        is_delegate = False
        description = "Writes a lot"
        parameters = Calculator.parameters

        def run(self, arguments: Mapping[str, object]) -> str:
            return "7" * 10_000

    tool: Tool = Long()
    budget = Budget(max_observation_chars=100, grounding=False)
    engine = ScriptedEngine(replies(call("1"), "Done."))
    runtime = Runtime(engine, [tool], budget, tool_call_format="hermes")
    task = TaskRun(60)
    Agent(runtime, ROLE, [tool]).run("What is 12 + 30?", task)
    observation = next(step for step in task.steps if step.kind is StepKind.OBSERVATION)
    assert len(observation.text) == 100


def test_a_repeated_call_is_told_once_and_then_stops_the_agent() -> None:
    seen: list[str] = []

    def reply(conversation: str) -> str:
        seen.append(conversation)
        return call("2 + 2")

    task = TaskRun(60)
    with pytest.raises(AgentStop) as caught:
        make_agent(reply).run("2 + 2?", task)
    assert caught.value.failure is FailureMode.REPEATED_CALL
    assert len(seen) == 3
    # The tool ran once; the second time the agent was told.
    assert sum(step.kind is StepKind.CALL for step in task.steps) == 1
    assert "already" in seen[2]


def test_a_repeated_call_may_be_followed_by_an_answer() -> None:
    task = TaskRun(60)
    agent = make_agent(replies(call("2 + 2"), call("2 + 2"), "It is 4."))
    assert agent.run("2 + 2?", task) == "It is 4."


def test_turns_are_limited() -> None:
    count = iter(range(1, 100))
    task = TaskRun(60)
    with pytest.raises(AgentStop) as caught:
        make_agent(
            lambda _: call(f"1 + {next(count)}"), budget=Budget(max_turns=3, grounding=False)
        ).run("What is 12 + 30?", task)
    assert caught.value.failure is FailureMode.TURN_LIMIT
    assert task.turns == 3


def test_a_turn_that_was_cut_off_is_a_protocol_violation() -> None:
    task = TaskRun(60)
    with pytest.raises(AgentStop) as caught:
        make_agent(replies(call("1 + 1")), budget=Budget(max_new_tokens=30, grounding=False)).run(
            "What is 12 + 30?", task
        )
    assert caught.value.failure is FailureMode.PROTOCOL_VIOLATION


def test_an_empty_answer_is_a_protocol_violation() -> None:
    blank = "Thought: I can answer directly.\nAnswer:    "
    with pytest.raises(AgentStop, match="empty") as caught:
        make_agent(replies(blank), tool_call_format="compact").run("What is 12 + 30?", TaskRun(60))
    assert caught.value.failure is FailureMode.PROTOCOL_VIOLATION


@pytest.mark.parametrize("tool_call_format", ["compact", "hermes"])
def test_an_empty_plain_answer_is_a_protocol_violation(tool_call_format: str) -> None:
    role = Role("agent", "You chat.")
    agent = make_agent(replies("   "), role, Budget(grounding=True), tool_call_format)
    with pytest.raises(AgentStop, match="empty") as caught:
        agent.run("What is 12 + 30?", TaskRun(60))
    assert caught.value.failure is FailureMode.PROTOCOL_VIOLATION


def run_anyhow(agent: Agent, question: str) -> TaskRun:
    """Run an agent whose turns may end up as something that is no turn."""
    task = TaskRun(60)
    with contextlib.suppress(AgentStop):
        agent.run(question, task)
    return task


def test_a_tool_that_is_not_there_cannot_be_called() -> None:
    # The grammar has no such call, so what comes is a call of the tool that is there, or nothing.
    agent = make_agent(replies(call("1 + 1", tool="browser"), "Done."))
    task = run_anyhow(agent, "What is 12 + 30?")
    assert {step.tool for step in task.steps} <= {"", "calculator"}


def test_the_first_turn_may_have_to_be_a_call() -> None:
    role = Role("agent", "You compute.", ("calculator",), must_call_first=True)
    agent = make_agent(replies("I just say it: 42.", "It is 42."), role)
    task = run_anyhow(agent, "What is 12 + 30?")
    assert StepKind.ANSWER not in kinds(task)[:1]


def test_time_is_limited() -> None:
    with pytest.raises(AgentStop) as caught:
        make_agent(replies("Hello.")).run("What is 12 + 30?", TaskRun(1e-9))
    assert caught.value.failure is FailureMode.TIMEOUT
