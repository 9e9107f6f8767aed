from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from edgeagent.agent.loop import Agent, Role
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop, Limits
from edgeagent.agent.task import Silent, TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import Tool, object_schema
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
    tools: Sequence[Tool] = (),
) -> Agent:
    budget = budget or Budget(grounding=False)
    runtime = Runtime(ScriptedEngine(reply), [Calculator()], budget, tool_call_format)
    return Agent(runtime, role, tools or runtime.select_tools(role.tools))


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


def test_a_repeated_call_is_told_once_and_then_the_agent_has_to_answer() -> None:
    seen: list[str] = []

    def reply(conversation: str) -> str:
        seen.append(conversation)
        return call("2 + 2") if len(seen) < 4 else "It is 4."

    task = TaskRun(60)
    assert make_agent(reply).run("2 + 2?", task) == "It is 4."
    assert len(seen) == 4
    # The tool ran once; the second time the agent was told.
    assert sum(step.kind is StepKind.CALL for step in task.steps) == 1
    assert "already" in seen[2]


def test_a_repeated_call_may_be_followed_by_an_answer() -> None:
    task = TaskRun(60)
    agent = make_agent(replies(call("2 + 2"), call("2 + 2"), "It is 4."))
    assert agent.run("2 + 2?", task) == "It is 4."


def test_the_last_turn_has_to_be_an_answer() -> None:
    count = iter(range(1, 100))

    def reply(_conversation: str) -> str:
        number = next(count)
        return call(f"1 + {number}") if number < 3 else "It is 42."

    task = TaskRun(60)
    agent = make_agent(reply, budget=Budget(max_turns=3, grounding=False))
    assert agent.run("What is 12 + 30?", task) == "It is 42."
    assert task.turns == 3


def test_a_single_turn_of_a_call_is_a_turn_limit_with_the_result_as_best_answer() -> None:
    agent = make_agent(lambda _: call("12 + 30"), budget=Budget(max_turns=1, grounding=False))
    with pytest.raises(AgentStop) as caught:
        agent.run("What is 12 + 30?", TaskRun(60))
    assert caught.value.failure is FailureMode.TURN_LIMIT
    assert caught.value.best == "42"


def test_the_token_budget_of_a_task_covers_all_turns() -> None:
    task = TaskRun(limits=Limits(60, max_tokens=len(call("12 + 30"))))
    with pytest.raises(AgentStop) as caught:
        make_agent(lambda _: call("12 + 30")).run("What is 12 + 30?", task)
    assert caught.value.failure is FailureMode.TOKEN_LIMIT
    assert caught.value.best == "42"


def test_the_energy_budget_stops_a_task_by_what_the_device_reads() -> None:
    joules = itertools.count(100.0, 4.0)
    task = TaskRun(limits=Limits(60, max_energy_j=10, energy=lambda: next(joules)))
    task.limits.check()
    deadline_s = time.monotonic() + 5
    with pytest.raises(AgentStop) as caught:  # noqa: PT012 - counters are read now and then only
        while time.monotonic() < deadline_s:
            task.limits.check()
            time.sleep(0.05)
    assert caught.value.failure is FailureMode.ENERGY_LIMIT


def test_several_calls_of_a_turn_run_overlapped_under_one_span() -> None:
    started = threading.Barrier(2, timeout=5)

    class Waiting(Calculator):
        def run(self, arguments: Mapping[str, object]) -> str:
            started.wait()  # passes only if both calls are running
            return super().run(arguments)

    def reply(conversation: str) -> str:
        calls = [
            {"name": "calculator", "arguments": {"expression": expression}}
            for expression in ("12 + 30", "1 + 1")
        ]
        return "It is 42." if "calculator: 42" in conversation else json.dumps(calls)

    task = TaskRun(60)
    budget = Budget(grounding=False, max_new_tokens=200)
    agent = make_agent(reply, budget=budget, tools=(Waiting(),), tool_call_format="plain")
    assert agent.run("What is 12 + 30?", task) == "It is 42."
    spans = [span for span in task.recorder.trace() if span.kind is SpanKind.TOOL]
    assert [span.name for span in spans] == ["calculator"]
    observed = [step.text for step in task.steps if step.kind is StepKind.OBSERVATION]
    assert observed == ["42", "2"]


def test_words_may_stand_before_the_calls_of_a_turn_and_are_no_answer() -> None:
    class Hearing(Silent):
        answers: list[str] = []  # noqa: RUF012 - one listener

        def on_answer(self, text: str) -> None:
            self.answers.append(text)

    lead = "Let me work that out."
    model = replies(f"{lead}\n{call('12 + 30')}", "It is 42.")
    agent = make_agent(model, budget=Budget(grounding=False, max_new_tokens=200))
    task = TaskRun(60, Hearing())
    task.speaker = "agent"
    assert agent.run("What is 12 + 30?", task) == "It is 42."
    assert kinds(task) == [StepKind.CALL, StepKind.OBSERVATION, StepKind.ANSWER]
    assert task.steps[0].kind is StepKind.THOUGHT
    assert task.steps[0].text == lead
    assert Hearing.answers == []  # short answers are held back, as a call may still come
    task.finish("It is 42.")
    assert Hearing.answers == ["It is 42."]


def test_a_conversation_that_no_longer_fits_loses_its_oldest_results_first() -> None:
    class Wordy:
        name = "read"
        is_delegate = False
        description = "Read a page."
        parameters = object_schema(page={"type": "string"})

        def run(self, arguments: Mapping[str, object]) -> str:
            return f"page {arguments['page']}: " + "many words and " * 40

    seen: list[str] = []

    def reply(conversation: str) -> str:
        seen.append(conversation)
        page = len(seen)
        if page > 5 or "page five" in conversation:
            return "The end."
        return f'<tool_call>\n{{"name": "read", "arguments": {{"page": "p{page}"}}}}\n</tool_call>'

    task = TaskRun(60)
    budget = Budget(grounding=False, max_context_len=2200, max_turns=6)
    agent = make_agent(reply, tools=(Wordy(),), budget=budget)
    assert agent.run("What is on the pages?", task) == "The end."
    assert "[shortened]" in seen[-1]
    assert seen[-1].startswith(seen[0][: seen[0].index("What is on the pages?")])
    assert seen[-1].count("page p") >= 2


def test_after_nothing_but_failures_an_answer_with_new_figures_is_refused() -> None:
    agent = make_agent(replies(call("1 / 0"), "The result is 17."))
    answer = agent.run("What is 1 / 0?", TaskRun(60))
    assert "17" not in answer
    assert "calculator failed" in answer


def test_after_a_failure_words_and_stated_figures_may_be_answered() -> None:
    agent = make_agent(replies(call("1 / 0"), "1 cannot be divided by 0."))
    assert agent.run("What is 1 / 0?", TaskRun(60)) == "1 cannot be divided by 0."


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
