"""The base model: direct prompting, no tools. Every comparison's reference, and the fallback."""

from __future__ import annotations

from edgeagent.agent.chat.template import Message
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop, Deadline
from edgeagent.agent.task import TaskRun
from edgeagent.engine.protocol import DecodeParams
from edgeagent.errors import EdgeAgentError
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind
from edgeagent.record.spans import SpanKind

INSTRUCTIONS = "You are a helpful assistant. Answer in one short sentence."


class Base:
    """See the module."""

    name = "base"

    def __init__(self, runtime: Runtime) -> None:
        """Prepare; nothing is prefilled yet."""
        self._runtime = runtime
        self._prefix: list[Message] = [{"role": "system", "content": INSTRUCTIONS}]

    def warm_up(self) -> None:
        """Prefill the system prompt."""
        self._runtime.conversation(self.name).warm_up(self._prefix, None)

    def answer(self, question: str, task: TaskRun, deadline: Deadline) -> str:
        """Return the model's answer.

        Raises:
            AgentStop: The context or the time is used up.
        """
        question = self._runtime.neutralize(question)
        task.speaker = self.name
        task.turns += 1
        text = self._runtime.conversation(self.name).turn(
            [*self._prefix, {"role": "user", "content": question}],
            None,
            DecodeParams(max_new_tokens=self._runtime.budget.max_new_tokens),
            recorder=task.recorder,
            deadline=deadline,
            on_text=task.text_sink(self.name, lambda text: text.lstrip()),
        )
        return text.strip()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Answer directly."""
        with task.recorder.span(SpanKind.ORCHESTRATE, self.name, "task"):
            try:
                answer = self.answer(question, task, task.deadline)
            except AgentStop as stop:
                return _outcome(task, failure=stop.failure, error=stop.reason)
            except EdgeAgentError as error:
                return _outcome(task, failure=FailureMode.ERROR, error=str(error))
            task.add(Step(agent=self.name, kind=StepKind.ANSWER, text=answer))
            failure = None if answer else FailureMode.PROTOCOL_VIOLATION
            return _outcome(task, answer=answer, failure=failure)


def _outcome(
    task: TaskRun, answer: str = "", failure: FailureMode | None = None, error: str = ""
) -> Outcome:
    return Outcome(
        answer=answer, failure=failure, turns=task.turns, steps=tuple(task.steps), error=error
    )
