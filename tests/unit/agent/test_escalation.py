from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from edgeagent.agent.confidence import confidence, doubt
from edgeagent.agent.endpoint import Endpoint, Reply
from edgeagent.agent.models import Model, model_of
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.escalate import Escalate, Escalation
from edgeagent.agent.paradigms.single import Single
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import Silent, TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.protocol import Tool
from edgeagent.config.run import Budget
from edgeagent.config.team import EndpointSpec
from edgeagent.engine.scripted import ScriptedEngine, ScriptedSession
from edgeagent.errors import ResourceError, ToolError
from edgeagent.record.outcome import FailureMode, Outcome, StepKind
from edgeagent.record.spans import Span, SpanKind

CONTEXT_LEN = 65536
BUDGET = Budget(max_context_len=CONTEXT_LEN, grounding=False)
QUESTION = "Who founded the sailing school?"
SUM = "What is 12 times 14?"


class Sure(ScriptedEngine):
    """A model that holds every token with the same probability."""

    def __init__(self, reply: Callable[[str], str], logprob: float) -> None:
        super().__init__(reply, context_len=CONTEXT_LEN)
        self.logprob = logprob
        self.asked_for_logprobs: list[bool] = []

    def open(self, max_context_len: int, adapter: str | None = None) -> ScriptedSession:
        return _SureSession(self, max_context_len, adapter)


class _SureSession(ScriptedSession):
    def decode(self, params, *, should_stop=None):  # type: ignore[no-untyped-def]
        engine = self._engine
        assert isinstance(engine, Sure)
        engine.asked_for_logprobs.append(params.logprobs)
        for event in super().decode(params, should_stop=should_stop):
            told = engine.logprob if params.logprobs and not event.forced else None
            yield replace(event, logprob=told)


class Heard(Silent):
    """Collects the pieces of the answer that a user would see."""

    def __init__(self) -> None:
        self.answer = ""

    def on_answer(self, text: str) -> None:
        self.answer += text


class Oracle(Endpoint):
    """An endpoint that is not there."""

    def __init__(self, reply: Reply | ToolError, *, share_results: bool = False) -> None:
        super().__init__(
            EndpointSpec(url="https://oracle.example", model="o", share_results=share_results)
        )
        self._reply = reply
        self.asked: list[str] = []

    def ask(self, messages, functions=(), *, timeout_s):  # type: ignore[no-untyped-def]
        assert timeout_s > 0
        self.asked.append(messages[-1]["content"])
        if isinstance(self._reply, ToolError):
            raise self._reply
        return self._reply


def run(
    engine: ScriptedEngine,
    question: str = QUESTION,
    *,
    tools: Sequence[Tool] = (),
    escalation: Callable[[Runtime], Escalation] | None = None,
    budget: Budget = BUDGET,
    timeout_s: float = 60,
    open_model: Callable[[str], Model] | None = None,
) -> tuple[Outcome, TaskRun, str]:
    runtime = Runtime(engine, tools, budget, "hermes", open_model=open_model)
    heard = Heard()
    task = TaskRun(timeout_s, heard)
    paradigm = Escalate(runtime, escalation(runtime) if escalation else None)
    outcome = paradigm.run(question, task)
    runtime.close()
    return outcome, task, heard.answer


def kinds(outcome: Outcome) -> list[StepKind]:
    return [step.kind for step in outcome.steps]


def roles(task: TaskRun) -> list[str]:
    return [span.agent for span in task.recorder.trace() if span.kind is SpanKind.DECODE]


def test_a_sure_answer_stands_and_nobody_else_is_asked() -> None:
    engine = Sure(lambda _: "Orla Fenn.", -0.05)
    outcome, task, heard = run(engine)
    assert outcome.answer == heard == "Orla Fenn."
    assert kinds(outcome) == [StepKind.ANSWER]
    assert roles(task) == ["base"]
    assert outcome.completed_unaided
    assert engine.asked_for_logprobs == [True]


def test_an_unsure_answer_is_not_shown_and_the_stronger_one_is() -> None:
    engine = Sure(lambda text: "Orla." if "with tools" in text else "Somebody.", -1.0)
    outcome, task, heard = run(engine)
    assert outcome.answer == heard == "Orla."
    assert roles(task) == ["base", "agent"]
    step = next(step for step in outcome.steps if step.kind is StepKind.ESCALATION)
    assert step.text == "confidence 0.37 is below 0.50"
    assert outcome.turns == 2
    assert engine.asked_for_logprobs == [True, False]  # nobody asks how sure the stronger one is
    root = task.recorder.trace()[0]
    assert (root.kind, root.agent, root.name) == (SpanKind.ORCHESTRATE, "escalate", "task")


@pytest.mark.parametrize(("threshold", "asked"), [(0.0, ["base"]), (1.0, ["base", "agent"])])
def test_the_threshold_decides(threshold: float, asked: list[str]) -> None:
    _, task, _ = run(
        Sure(lambda _: "Orla.", -0.5),
        escalation=lambda runtime: Escalation(
            lambda: Base(runtime), lambda: Single(runtime), threshold=threshold
        ),
    )
    assert roles(task) == asked


def test_what_a_tool_can_work_on_goes_to_the_agent_at_once() -> None:
    def reply(conversation: str) -> str:
        if "168" in conversation:
            return "168."
        call = '{"name": "calculator", "arguments": {"expression": "12 * 14"}}'
        return f"<tool_call>\n{call}\n</tool_call>"

    outcome, task, _ = run(Sure(reply, -0.01), SUM, tools=[Calculator()])
    assert outcome.answer == "168."
    assert set(roles(task)) == {"agent"}
    assert kinds(outcome)[0] is StepKind.ESCALATION


def test_an_agent_that_left_its_tool_alone_is_doubted() -> None:
    escalation: Callable[[Runtime], Escalation] = lambda runtime: Escalation(  # noqa: E731
        lambda: Single(runtime), lambda: Single(runtime.with_model("large"))
    )

    def large(_name: str) -> Model:
        return model_of(Sure(lambda _: "It is 168.", -0.01), "hermes", grounded=False)

    outcome, _, _ = run(
        Sure(lambda _: "It is 170.", -0.01),
        SUM,
        tools=[Calculator()],
        escalation=escalation,
        open_model=large,
    )
    assert outcome.answer == "It is 168."
    reasons = [step.text for step in outcome.steps if step.kind is StepKind.ESCALATION]
    assert reasons == ["a tool could have helped and brought nothing"]


def test_a_larger_model_is_loaded_when_it_is_first_needed_and_only_once() -> None:
    loaded: list[str] = []

    def large(name: str) -> Model:
        loaded.append(name)
        return model_of(Sure(lambda _: "Large.", -0.01), "hermes", grounded=False)

    engine = Sure(lambda _: "Small.", -0.01)
    runtime = Runtime(engine, [], BUDGET, "hermes", open_model=large)
    paradigm = Escalate(
        runtime,
        Escalation(lambda: Base(runtime), lambda: Base(runtime.with_model("large"))),
    )
    assert paradigm.run(QUESTION, TaskRun(60)).answer == "Small."
    assert loaded == []
    engine.logprob = -3.0
    for _ in range(2):
        task = TaskRun(60)
        assert paradigm.run(QUESTION, task).answer == "Large."
    assert loaded == ["large"]
    assert SpanKind.LOAD not in {span.kind for span in task.recorder.trace()}
    runtime.close()


def test_the_first_answer_stands_if_the_larger_model_cannot_be_loaded() -> None:
    def large(_name: str) -> Model:
        raise ResourceError("Loading needs 2 GB.")

    outcome, _, heard = run(
        Sure(lambda _: "Small.", -3.0),
        escalation=lambda runtime: Escalation(
            lambda: Base(runtime), lambda: Base(runtime.with_model("large"))
        ),
        open_model=large,
    )
    assert outcome.answer == heard == "Small."
    assert outcome.completed_unaided
    assert "Loading needs 2 GB." in outcome.steps[-1].text


def test_who_was_passed_over_answers_if_the_larger_model_cannot_be_loaded() -> None:
    def large(_name: str) -> Model:
        raise ResourceError("Loading needs 2 GB.")

    outcome, task, heard = run(
        Sure(lambda _: "About 170.", -0.01),
        SUM,
        tools=[Calculator()],
        escalation=lambda runtime: Escalation(
            lambda: Base(runtime), lambda: Single(runtime.with_model("large"))
        ),
        open_model=large,
    )
    assert outcome.answer == heard == "About 170."
    assert roles(task) == ["base"]


def test_the_first_answer_stands_if_the_stronger_one_is_stuck() -> None:
    def large(_name: str) -> Model:
        return model_of(Sure(lambda _: "", -0.01), "hermes", grounded=False)

    outcome, _, heard = run(
        Sure(lambda _: "Small.", -3.0),
        escalation=lambda runtime: Escalation(
            lambda: Base(runtime), lambda: Base(runtime.with_model("large"))
        ),
        open_model=large,
    )
    assert outcome.answer == heard == "Small."
    assert outcome.failure is None


def test_a_grounded_model_is_not_asked_the_same_twice() -> None:
    outcome, task, _ = run(
        Sure(lambda _: "Somebody.", -3.0),
        tools=[Calculator()],
        budget=BUDGET.model_copy(update={"grounding": True}),
    )
    assert outcome.answer == "Somebody."
    assert roles(task) == ["base"]


def test_nobody_is_asked_when_the_time_is_over() -> None:
    outcome, task, _ = run(
        Sure(lambda _: "Small.", -3.0),
        escalation=lambda runtime: Escalation(lambda: Base(runtime), lambda: Base(runtime)),
        timeout_s=1e-9,
    )
    assert outcome.failure is FailureMode.TIMEOUT
    assert roles(task) == []


@pytest.mark.parametrize("share_results", [False, True])
def test_an_endpoint_gets_the_question_and_results_only_where_the_user_said_so(
    share_results: bool,
) -> None:
    def reply(conversation: str) -> str:
        if "168" in conversation:
            return "I am not sure."
        call = '{"name": "calculator", "arguments": {"expression": "12 * 14"}}'
        return f"<tool_call>\n{call}\n</tool_call>"

    oracle = Oracle(Reply("168 crowns."), share_results=share_results)
    outcome, _, heard = run(
        Sure(reply, -0.01),
        SUM,
        tools=[Calculator()],
        escalation=lambda runtime: Escalation(lambda: Single(runtime), endpoint=oracle),
    )
    assert outcome.answer == heard == "168 crowns."
    assert oracle.asked == [f"{SUM}\nKnown: 168" if share_results else SUM]
    assert outcome.sent_to == ("oracle.example",)
    sent = next(step for step in outcome.steps if step.kind is StepKind.SENT)
    assert sent.text == oracle.asked[0]
    assert outcome.steps[-1].kind is StepKind.ANSWER


def test_an_endpoint_is_not_asked_what_the_device_is_sure_of() -> None:
    oracle = Oracle(Reply("Other."))
    outcome, _, _ = run(
        Sure(lambda _: "Orla.", -0.01),
        escalation=lambda runtime: Escalation(lambda: Base(runtime), endpoint=oracle),
    )
    assert outcome.answer == "Orla."
    assert oracle.asked == []
    assert outcome.sent_to == ()


def test_an_endpoint_that_fails_leaves_the_first_answer_and_a_note() -> None:
    oracle = Oracle(ToolError("oracle.example answered 500: down"))
    outcome, _, heard = run(
        Sure(lambda _: "Small.", -3.0),
        escalation=lambda runtime: Escalation(lambda: Base(runtime), endpoint=oracle),
    )
    assert outcome.answer == heard == "Small."
    assert outcome.completed_unaided
    assert outcome.sent_to == ("oracle.example",)
    assert outcome.steps[-1].text.endswith("oracle.example answered 500: down")


def decode_span(logprob: float | None, tokens_out: int, tokens_forced: int = 0) -> Span:
    return Span(
        id=0,
        parent_id=None,
        kind=SpanKind.DECODE,
        agent="base",
        t0_ns=0,
        t1_ns=1,
        tokens_out=tokens_out,
        tokens_forced=tokens_forced,
        logprob=logprob,
    )


def test_confidence_is_that_of_the_weakest_turn_without_forced_tokens() -> None:
    assert confidence([]) is None
    assert confidence([decode_span(None, 5)]) is None
    assert confidence([decode_span(-1.0, 10, 5)]) == pytest.approx(0.8187, abs=1e-4)
    weakest = [decode_span(-0.1, 10), decode_span(-2.0, 4), decode_span(None, 3, 3)]
    assert confidence(weakest) == pytest.approx(0.6065, abs=1e-4)


@pytest.mark.parametrize(
    ("answer", "is_doubted"),
    [
        ("Orla Fenn.", False),
        ("I don't know who founded it.", True),
        ("I\u2019m not sure.", True),
        ("I cannot answer that: search failed (nothing found).", True),
        ("", True),
    ],
)
def test_answers_that_are_none_are_doubted(answer: str, *, is_doubted: bool) -> None:
    assert (doubt(Outcome(answer=answer), needed_tool=False) is not None) is is_doubted
