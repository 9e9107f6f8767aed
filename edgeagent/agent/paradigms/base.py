"""The base model: direct prompting, no tools. Every comparison's reference, and the fallback."""

from __future__ import annotations

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.plain import PLAIN
from edgeagent.agent.functions import INSTRUCTIONS as FUNCTION_INSTRUCTIONS
from edgeagent.agent.functions import MAX_NEW_TOKENS, Function, add_calls, calls_text
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.stops import AgentStop, Limits
from edgeagent.agent.task import TaskRun
from edgeagent.agent.turns import TurnRequest, nothing_yet
from edgeagent.engine.protocol import DecodeParams
from edgeagent.errors import EdgeAgentError
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind
from edgeagent.record.spans import SpanKind

INSTRUCTIONS = "You are a helpful assistant. Answer in one short sentence."


class Base:
    """See the module."""

    name = "base"

    def __init__(self, runtime: Runtime, model: str | None = None, name: str = "base") -> None:
        """Prepare; nothing is prefilled yet.

        Args:
            runtime: What paradigms share.
            model: Which model answers, `None` for the main one.
            name: Name of its role, where there is more than one base model.
        """
        self._runtime = runtime
        self._model = model
        self._role = name
        self._prefix: list[Message] = [{"role": "system", "content": INSTRUCTIONS}]

    @property
    def grounded(self) -> bool:
        """Whether its model knows too little by itself to be relied on, see `Budget.grounding`."""
        return self._runtime.model(self._model).grounded

    def warm_up(self) -> None:
        """Prefill the system prompt."""
        conversation = self._runtime.conversation(self._role, model=self._model)
        conversation.warm_up(TurnRequest(self._prefix))

    def answer(self, question: str, task: TaskRun, limits: Limits, *, stream: bool = True) -> str:
        """Return the model's answer.

        Args:
            question: What is asked.
            task: The task.
            limits: What the answer may use.
            stream: Whether it is passed on while it is generated.

        Raises:
            AgentStop: The context, the time or another limit is used up.
        """
        question = self._runtime.model(self._model).neutralize(question)
        if task.functions:
            return self._calls(question, task, limits)
        messages = [*self._prefix, {"role": "user", "content": question}]
        max_new_tokens = self._runtime.budget.max_new_tokens
        return self._turn(messages, max_new_tokens, task, limits, stream=stream).strip()

    def _turn(
        self,
        messages: list[Message],
        max_new_tokens: int,
        task: TaskRun,
        limits: Limits,
        *,
        stream: bool = True,
    ) -> str:
        task.speaker = self._role
        task.turns += 1
        return self._runtime.conversation(self._role, model=self._model).turn(
            TurnRequest(messages, params=DecodeParams(max_new_tokens=max_new_tokens)),
            recorder=task.recorder,
            limits=limits,
            on_text=task.text_sink(self._role, _words if stream else nothing_yet),
        )

    def _calls(self, question: str, task: TaskRun, limits: Limits) -> str:
        """Ask for calls of the task's functions in plain words, and read what comes."""
        functions = [Function(description) for description in task.functions]
        prefix = PLAIN.prefix(FUNCTION_INSTRUCTIONS, functions, ())
        messages = [*prefix.messages, PLAIN.question(question)]
        text = self._turn(messages, MAX_NEW_TOKENS, task, limits)
        try:
            turn = PLAIN.parse(text)
        except ValueError as error:
            raise AgentStop(FailureMode.PROTOCOL_VIOLATION, str(error), text.strip()) from error
        add_calls(turn.calls, self._role, task)
        return calls_text(turn.calls) if turn.calls else turn.answer

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Answer directly."""
        with task.recorder.span(SpanKind.ORCHESTRATE, self.name, "task"):
            answer, error = "", ""
            failure: FailureMode | None = None
            try:
                answer = self.answer(question, task, task.limits)
            except AgentStop as stop:
                answer, failure, error = stop.best, stop.failure, stop.reason
            except EdgeAgentError as problem:
                failure, error = FailureMode.ERROR, str(problem)
            else:
                failure = None if answer else FailureMode.PROTOCOL_VIOLATION
            if failure is None or answer:
                task.add(Step(agent=self.name, kind=StepKind.ANSWER, text=answer))
            return Outcome(
                answer=answer,
                failure=failure,
                turns=task.turns,
                steps=tuple(task.steps),
                error=error,
            )


def _words(text: str) -> str:
    """Return an unfinished answer without the blanks before it."""
    return text.lstrip()
