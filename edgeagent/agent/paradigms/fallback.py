"""Falling back to the base answer when agents are stuck, and saying so."""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.stops import AgentStop, Deadline
from edgeagent.agent.task import TaskRun
from edgeagent.errors import EdgeAgentError
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind
from edgeagent.record.spans import SpanKind

FALLBACK_TIMEOUT_S = 60.0
"""The base answer gets its own time: a task that timed out still deserves an answer."""


def run_with_fallback(
    name: str, attempt: Callable[[], str], question: str, task: TaskRun, base: Base
) -> Outcome:
    """Run a paradigm's attempt; if it is stuck, give the base model's answer instead."""
    with task.recorder.span(SpanKind.ORCHESTRATE, name, "task"):
        try:
            answer = attempt()
            return Outcome(answer=answer, turns=task.turns, steps=tuple(task.steps))
        except AgentStop as stop:
            failure, reason = stop.failure, stop.reason
        except EdgeAgentError as error:
            failure, reason = FailureMode.ERROR, str(error)
        task.add(Step(agent=name, kind=StepKind.FALLBACK, text=f"{failure.value}: {reason}"))
        answer = ""
        try:
            answer = base.answer(question, task, Deadline(FALLBACK_TIMEOUT_S))
        except (AgentStop, EdgeAgentError) as error:
            reason = f"{reason}; the base answer failed too: {error}"
        task.add(Step(agent=base.name, kind=StepKind.ANSWER, text=answer))
        return Outcome(
            answer=answer,
            failure=failure,
            fell_back=True,
            turns=task.turns,
            steps=tuple(task.steps),
            error=reason,
        )
