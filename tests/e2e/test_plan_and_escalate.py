"""Plans and escalation with a real model of 135 million weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.agent.confidence import confidence
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.escalate import Escalate, Escalation
from edgeagent.agent.paradigms.plan import Plan
from edgeagent.agent.paradigms.single import Single
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.documents.index import DocumentIndex
from edgeagent.agent.tools.documents.search import DocumentSearch
from edgeagent.config.run import Budget
from edgeagent.engine.genai import GenaiEngine
from edgeagent.record.outcome import Outcome, StepKind
from edgeagent.record.spans import SpanKind

SUM = "A crate holds 46 jars. How many jars are in 83 crates?"
PRICE = "How many crowns do 12 nights in a berth at Port Ellery cost?"
CAPITAL = "What is the capital of France?"


@pytest.fixture(scope="module")
def runtime(smollm2: GenaiEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """One for all, so that each prefix is prefilled once."""
    folder: Path = tmp_path_factory.mktemp("documents")
    text = "# Port Ellery harbour\n\nA berth at Port Ellery costs 14 crowns for each night.\n"
    (folder / "harbour.md").write_text(text, encoding="utf-8")
    index = DocumentIndex(folder)
    budget = Budget(max_new_tokens=48, grounding=True, sessions="own")
    runtime = Runtime(smollm2, [Calculator(), DocumentSearch(index)], budget)
    yield runtime
    runtime.close()
    index.close()


def called(outcome: Outcome) -> list[str]:
    return [step.tool for step in outcome.steps if step.kind is StepKind.CALL]


def test_a_plan_is_written_carried_out_and_answered(runtime: Runtime) -> None:
    plan = Plan(runtime)
    plan.warm_up()
    planner_len = runtime.conversation("agent_planner").session.cached_len
    assert planner_len > 100

    task = TaskRun(600)
    outcome = plan.run(SUM, task)
    assert "3818" in outcome.answer
    assert outcome.completed_unaided
    assert outcome.steps[0].agent == "agent_planner"
    assert outcome.steps[0].text.startswith("1. calculator {")
    assert called(outcome) == ["calculator"]
    decodes = [span for span in task.recorder.trace() if span.kind is SpanKind.DECODE]
    assert [span.agent for span in decodes] == ["agent_planner", "agent"]
    first = next(span for span in task.recorder.trace() if span.kind is SpanKind.PREFILL)
    assert first.tokens_cached >= planner_len

    outcome = plan.run(PRICE, TaskRun(600))
    assert called(outcome) == ["search", "calculator"]
    assert "168" in outcome.answer
    assert outcome.completed_unaided


def test_confidence_decides_who_answers(runtime: Runtime) -> None:
    sure = {}
    for threshold in (0.0, 1.0):
        escalation = Escalation(lambda: Base(runtime), lambda: Single(runtime), threshold=threshold)
        task = TaskRun(600)
        outcome = Escalate(runtime, escalation).run(CAPITAL, task)
        assert "Paris" in outcome.answer
        steps = [step.text for step in outcome.steps if step.kind is StepKind.ESCALATION]
        assert len(steps) == threshold
        sure[threshold] = confidence(task.recorder.trace())
    assert sure[0.0] == sure[1.0]
    assert sure[0.0] is not None
    assert 0.3 < sure[0.0] < 1.0

    # What a tool can work on goes to the agent at once.
    outcome = Escalate(runtime).run(SUM, TaskRun(600))
    assert "3818" in outcome.answer
    assert outcome.turns == 2
