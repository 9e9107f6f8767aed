from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from edgeagent.agent.paradigms import PARADIGM_NAMES, make_paradigm
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.documents.index import DocumentIndex
from edgeagent.agent.tools.documents.search import DocumentSearch
from edgeagent.agent.tools.protocol import Tool
from edgeagent.config.run import Budget
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ConfigError, EngineError
from edgeagent.record.outcome import FailureMode, Outcome, StepKind
from edgeagent.record.spans import Span, SpanKind

QUESTION = "How many crowns do 12 berths cost, 14 crowns each, 12 * 14?"
AGENTS = [name for name in PARADIGM_NAMES if name != "base"]
CONTEXT_LEN = 32768
"""The scripted engine counts bytes, and the prefixes with their examples are long."""
BUDGET = Budget(max_context_len=CONTEXT_LEN, grounding=False)
Reply = Callable[[str], str]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[Tool]]:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "harbour.md").write_text(
        "# Port Ellery harbour\n\nA berth costs 14 crowns.\n", encoding="utf-8"
    )
    index = DocumentIndex(folder)
    yield (Calculator(), DocumentSearch(index))
    index.close()


def run(
    name: str,
    reply: Reply,
    tools: Sequence[Tool],
    *,
    tool_call_format: str = "hermes",
    budget: Budget = BUDGET,
    timeout_s: float = 60,
) -> tuple[Outcome, TaskRun]:
    runtime = Runtime(
        ScriptedEngine(reply, context_len=CONTEXT_LEN), tools, budget, tool_call_format
    )
    task = TaskRun(timeout_s)
    outcome = make_paradigm(name, runtime).run(QUESTION, task)
    runtime.close()
    return outcome, task


def tool_call(name: str, **arguments: str) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def good(conversation: str) -> str:
    """A model that uses the calculator when it has one, else asks, else answers."""
    if "168" in conversation:
        return "It is 168."
    if "specialist" in conversation:
        return tool_call("ask", specialist="quantitative")
    return tool_call("calculator", expression="12 * 14")


def check_trace(task: TaskRun) -> None:
    trace = task.recorder.trace()
    by_id: dict[int, Span] = {span.id: span for span in trace}
    root = trace[0]
    assert (root.kind, root.name, root.parent_id) == (SpanKind.ORCHESTRATE, "task", None)
    for span in trace[1:]:
        assert span.parent_id is not None
        parent = by_id[span.parent_id]
        assert parent.kind is SpanKind.ORCHESTRATE
        assert parent.t0_ns <= span.t0_ns <= span.t1_ns <= parent.t1_ns
        assert 0 <= span.tokens_cached <= span.tokens_in
        assert 0 <= span.tokens_forced <= span.tokens_out == len(span.token_t_ns)
        assert all(span.t0_ns <= t_ns <= span.t1_ns for t_ns in span.token_t_ns)


def test_base_answers_directly(tools: Sequence[Tool]) -> None:
    outcome, task = run("base", lambda _: "It is 168.", tools)
    assert outcome.answer == "It is 168."
    assert outcome.completed_unaided
    assert outcome.turns == 1
    assert [step.kind for step in outcome.steps] == [StepKind.ANSWER]
    check_trace(task)


def test_base_without_a_word_is_not_completed(tools: Sequence[Tool]) -> None:
    outcome, _ = run("base", lambda _: "  ", tools)
    assert not outcome.completed
    assert outcome.failure is FailureMode.PROTOCOL_VIOLATION


@pytest.mark.parametrize("tool_call_format", ["hermes", "compact"])
@pytest.mark.parametrize("name", PARADIGM_NAMES)
def test_whatever_a_model_says_there_is_an_outcome(
    name: str, tool_call_format: str, tools: Sequence[Tool]
) -> None:
    # The scripted model says what it wants; the grammar makes something readable of it.
    for text in ("", "It is 168.", "<tool_call>", "Thought: ", "\n\n\n", "é" * 30, "{" * 40):
        outcome, task = run(
            name, lambda _, text=text: text, tools, tool_call_format=tool_call_format
        )
        assert outcome.completed or outcome.failure is not None
        assert outcome.fell_back == any(step.kind is StepKind.FALLBACK for step in outcome.steps)
        check_trace(task)


@pytest.mark.parametrize("name", AGENTS)
def test_agents_use_tools(name: str, tools: Sequence[Tool]) -> None:
    outcome, task = run(name, good, tools)
    assert "168" in outcome.answer
    assert outcome.completed_unaided
    assert any(step.tool == "calculator" for step in outcome.steps)
    check_trace(task)


def test_the_supervisor_routes_and_the_specialist_works_within_the_route(
    tools: Sequence[Tool],
) -> None:
    outcome, task = run("multi", good, tools)
    agents = [step.agent for step in outcome.steps if step.kind is StepKind.CALL]
    assert agents == ["quantitative"]
    trace = task.recorder.trace()
    by_id = {span.id: span for span in trace}
    work = next(span for span in trace if span.agent == "quantitative")
    assert work.parent_id is not None
    route = by_id[work.parent_id]
    assert (route.kind, route.agent, route.name) == (SpanKind.ORCHESTRATE, "supervisor", "ask")


@pytest.mark.parametrize("name", ["single", "multi"])
def test_a_stuck_agent_falls_back_to_the_base_answer_and_says_so(
    name: str, tools: Sequence[Tool]
) -> None:
    failure = {
        "single": FailureMode.TURN_LIMIT,
        "multi": FailureMode.DELEGATION_FAILURE,
    }[name]
    budget = BUDGET.model_copy(update={"max_turns": 1})

    def reply(conversation: str) -> str:
        return "It cannot be said." if "tool_call" not in conversation and asked else next_call()

    asked: list[int] = []

    def next_call() -> str:
        asked.append(1)
        return tool_call("calculator", expression="1 / 0")

    outcome, task = run(name, reply, tools, budget=budget)
    assert outcome.fell_back
    assert not outcome.completed_unaided
    assert outcome.failure is failure
    kinds = [step.kind for step in outcome.steps]
    assert kinds[-2:] == [StepKind.FALLBACK, StepKind.ANSWER]
    assert outcome.steps[-1].agent == "base"
    assert outcome.answer == "It cannot be said."
    assert outcome.failure.value in outcome.steps[-2].text
    check_trace(task)


def test_a_stuck_specialist_is_a_failed_delegation(tools: Sequence[Tool]) -> None:
    def reply(conversation: str) -> str:
        if "specialist" in conversation:
            return tool_call("ask", specialist="quantitative")
        return tool_call("calculator", expression="1 / 0")

    outcome, task = run("multi", reply, tools)
    assert outcome.failure is FailureMode.DELEGATION_FAILURE
    assert "quantitative" in outcome.error
    assert outcome.fell_back
    check_trace(task)


@pytest.mark.parametrize("name", PARADIGM_NAMES)
def test_time_is_limited(name: str, tools: Sequence[Tool]) -> None:
    outcome, task = run(name, good, tools, timeout_s=1e-9)
    assert outcome.failure is FailureMode.TIMEOUT
    assert outcome.fell_back is (name != "base")
    check_trace(task)


@pytest.mark.parametrize("name", PARADIGM_NAMES)
@pytest.mark.parametrize("failing_call", [1, 2, 3])
def test_an_engine_that_fails_is_an_outcome(
    name: str, failing_call: int, tools: Sequence[Tool]
) -> None:
    calls: list[str] = []

    def reply(conversation: str) -> str:
        calls.append(conversation)
        if len(calls) >= failing_call:
            raise EngineError("the runtime failed")
        return good(conversation)

    outcome, task = run(name, reply, tools)
    if len(calls) < failing_call:
        assert outcome.completed_unaided  # it was done before
        return
    assert outcome.failure in (FailureMode.ERROR, FailureMode.DELEGATION_FAILURE)
    assert "the runtime failed" in outcome.error
    # What a tool had found by then is the answer; else there is none.
    found = [
        step for step in outcome.steps if step.kind is StepKind.OBSERVATION and not step.failed
    ]
    assert outcome.completed is bool(found)
    assert not outcome.completed_unaided
    check_trace(task)


@pytest.mark.parametrize("name", PARADIGM_NAMES)
def test_a_context_that_is_too_short_is_an_outcome(name: str, tools: Sequence[Tool]) -> None:
    outcome, task = run(name, good, tools, budget=Budget(max_context_len=64, grounding=False))
    assert outcome.failure is FailureMode.CONTEXT_EXCEEDED
    check_trace(task)


@pytest.mark.parametrize("name", PARADIGM_NAMES)
def test_warming_up_leaves_less_to_prefill(name: str, tools: Sequence[Tool]) -> None:
    def prefilled(*, warm: bool) -> int:
        runtime = Runtime(ScriptedEngine(good, context_len=CONTEXT_LEN), tools, BUDGET, "hermes")
        paradigm = make_paradigm(name, runtime)
        if warm:
            paradigm.warm_up()
        task = TaskRun(60)
        paradigm.run(QUESTION, task)
        runtime.close()
        return sum(
            span.tokens_in - span.tokens_cached
            for span in task.recorder.trace()
            if span.kind is SpanKind.PREFILL
        )

    assert prefilled(warm=True) < prefilled(warm=False)


def test_names_are_checked(tools: Sequence[Tool], tmp_path: Path) -> None:
    runtime = Runtime(ScriptedEngine(good), tools)
    with pytest.raises(ConfigError, match="base, single, multi"):
        make_paradigm("nonsense", runtime)
    runtime.close()


def test_without_documents_nobody_is_asked_about_them() -> None:
    outcome, _ = run("multi", good, (Calculator(),))
    assert outcome.answer == "It is 168."
    asked = [step.arguments for step in outcome.steps if step.kind is StepKind.ROUTE]
    assert asked == [{"specialist": "quantitative"}]
