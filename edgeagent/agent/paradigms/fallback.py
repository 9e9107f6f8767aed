"""Falling back when agents are stuck, to what they have or to the base answer, and saying so."""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.agent.honesty import findings, refusal
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.stops import AgentStop, Limits
from edgeagent.agent.task import TaskRun
from edgeagent.errors import EdgeAgentError
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind
from edgeagent.record.spans import SpanKind

FALLBACK_TIMEOUT_S = 60.0
"""The base answer gets its own time: a task that timed out still deserves an answer."""


def run_with_fallback(
    name: str, attempt: Callable[[], str], question: str, task: TaskRun, base: Base
) -> Outcome:
    """Run a paradigm's attempt; if it is stuck, take its best result so far, else the base answer.

    An agent that looked a fact up and then failed to phrase it has found something: its last result
    is a better answer than that of a model without tools, and costs nothing.
    """
    with task.recorder.span(SpanKind.ORCHESTRATE, name, "task"):
        try:
            answer = attempt()
            return Outcome(answer=answer, turns=task.turns, steps=tuple(task.steps))
        except AgentStop as stop:
            failure, reason, answer = stop.failure, stop.reason, stop.best
        except EdgeAgentError as error:
            failure, reason, answer = FailureMode.ERROR, str(error), ""
        task.add(Step(agent=name, kind=StepKind.FALLBACK, text=f"{failure.value}: {reason}"))
        speaker = name
        if answer.strip():
            task.speaker = name
            task.show(name, answer)
        else:
            speaker = base.name
            found = findings(task.steps)
            # After a failure the base model may make up what the tool did not find.
            certain = not any(one.failed for one in found[-1:])
            try:
                answer = base.answer(question, task, Limits(FALLBACK_TIMEOUT_S), stream=certain)
                answer = refusal(answer, question, found, grounded=base.grounded) or answer
                if not certain:
                    task.show(speaker, answer)
            except AgentStop as stop:
                answer = stop.best
                reason = f"{reason}; the base answer failed too: {stop}"
            except EdgeAgentError as error:
                reason = f"{reason}; the base answer failed too: {error}"
        task.add(Step(agent=speaker, kind=StepKind.ANSWER, text=answer))
        return Outcome(
            answer=answer,
            failure=failure,
            fell_back=True,
            turns=task.turns,
            steps=tuple(task.steps),
            error=reason,
        )
