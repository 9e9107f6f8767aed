"""A cheap answer first; somebody stronger is asked only where that cannot be relied on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeagent.agent.confidence import confidence, doubt, needs_tool
from edgeagent.agent.endpoint import Endpoint
from edgeagent.agent.functions import INSTRUCTIONS as FUNCTION_INSTRUCTIONS
from edgeagent.agent.functions import add_calls, calls_text
from edgeagent.agent.honesty import findings
from edgeagent.agent.paradigms.base import INSTRUCTIONS, Base
from edgeagent.agent.paradigms.protocol import Paradigm
from edgeagent.agent.paradigms.single import Single
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import Listener, TaskRun
from edgeagent.config.team import DEFAULT_THRESHOLD
from edgeagent.errors import EdgeAgentError
from edgeagent.record.outcome import FailureMode, Outcome, Step, StepKind
from edgeagent.record.spans import SpanKind

_USED_UP = (FailureMode.TIMEOUT, FailureMode.TOKEN_LIMIT, FailureMode.ENERGY_LIMIT)
"""Limits of the task: nobody else could go on either."""


@dataclass(frozen=True)
class Escalation:
    """Who answers first, and who is asked after that.

    Attributes:
        first: Makes the paradigm that answers first.
        stronger: Makes the paradigm that is asked when the first answer is in doubt; it is made,
            and its model loaded, when it is first needed.
        endpoint: Who is asked instead of `stronger`.
        threshold: Confidence below which is escalated, 0 to 1.
        only_tools: Whether `stronger` has nothing but tools ahead of `first`. A grounded model then
            is not asked again where no tool has anything to work on: it would say the same.
    """

    first: Callable[[], Paradigm]
    stronger: Callable[[], Paradigm] | None = None
    endpoint: Endpoint | None = None
    threshold: float = DEFAULT_THRESHOLD
    only_tools: bool = False


class Escalate:
    """See the module. Without a configuration: `base` first, then `single` with the same model."""

    name = "escalate"

    def __init__(
        self, runtime: Runtime, escalation: Escalation | None = None, name: str = "escalate"
    ) -> None:
        """Prepare; nothing is prefilled yet."""
        self.name = name
        self._runtime = runtime
        self._plan = escalation or Escalation(
            lambda: Base(runtime), lambda: Single(runtime), only_tools=True
        )
        self._first = self._plan.first()
        self._stronger: Paradigm | None = None

    def warm_up(self) -> None:
        """Prefill all prefixes; loads the stronger model, if there is one."""
        self._first.warm_up()
        if self._plan.stronger is not None:
            self._get_stronger(self._plan.stronger).warm_up()

    def run(self, question: str, task: TaskRun) -> Outcome:
        """Answer, and escalate if the answer is in doubt. The first answer stands if that fails."""
        with task.recorder.span(SpanKind.ORCHESTRATE, self.name, "task"):
            outcome = self._answer(question, task)
        return outcome.model_copy(update={"turns": task.turns, "steps": tuple(task.steps)})

    def _answer(self, question: str, task: TaskRun) -> Outcome:
        needed = not task.functions and needs_tool(question, tuple(self._runtime.tools.values()))
        first, reason = None, "a tool has something to work on"
        # What a tool can work on is not worth asking a model that has none.
        if not (needed and isinstance(self._first, Base) and self._plan.stronger):
            first, sure = self._try_first(question, task)
            problem = doubt(first, needed_tool=needed)
            if problem is None and (sure is None or sure >= self._plan.threshold):
                return self._shown(first, task)
            same = self._plan.only_tools and self._runtime.main.grounded and not needed
            if first.failure in _USED_UP or (same and first.completed):
                return self._shown(first, task)
            reason = problem or f"confidence {sure:.2f} is below {self._plan.threshold:.2f}"
        self._note(StepKind.ESCALATION, reason, task)
        stronger = self._ask_stronger(question, task, first)
        if stronger is not None and (stronger.completed_unaided or not _stands(first)):
            return stronger
        if first is None:
            first, _ = self._try_first(question, task)
        return self._shown(first, task)

    def _try_first(self, question: str, task: TaskRun) -> tuple[Outcome, float | None]:
        """Return the first answer, which nobody is shown yet, and how sure the model was."""
        recorder = task.recorder
        known = {span.id for span in recorder.trace()}
        wanted, recorder.wants_logprobs = recorder.wants_logprobs, True
        try:
            outcome = _run_within(self._first, question, task, quiet=True)
        finally:
            recorder.wants_logprobs = wanted
        return outcome, confidence(span for span in recorder.trace() if span.id not in known)

    def _ask_stronger(self, question: str, task: TaskRun, first: Outcome | None) -> Outcome | None:
        """Return the answer of whoever is stronger, `None` if there is none."""
        try:
            if self._plan.endpoint is not None and self._runtime.may_send:
                return self._ask_endpoint(self._plan.endpoint, question, task)
            if self._plan.stronger is None:
                return None
            stronger = self._stronger
            if stronger is None:
                with task.recorder.span(SpanKind.LOAD, self.name):
                    stronger = self._get_stronger(self._plan.stronger)
        except EdgeAgentError as error:
            self._note(StepKind.ESCALATION, f"nobody stronger could be asked: {error}", task)
            return None
        quiet = _stands(first)
        outcome = _run_within(stronger, question, task, quiet=quiet)
        return self._shown(outcome, task) if quiet and outcome.completed_unaided else outcome

    def _ask_endpoint(self, endpoint: Endpoint, question: str, task: TaskRun) -> Outcome:
        instructions = FUNCTION_INSTRUCTIONS if task.functions else INSTRUCTIONS
        found = [one.text for one in findings(task.steps) if not one.failed]
        known = found if endpoint.shares_results else []
        text = "\n".join((question, *(f"Known: {one}" for one in known)))
        messages = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": text},
        ]
        task.add(Step(agent=self.name, kind=StepKind.SENT, tool=endpoint.host, text=text))
        with task.recorder.span(SpanKind.TOOL, self.name, endpoint.host):
            reply = endpoint.ask(messages, task.functions, timeout_s=task.limits.seconds_left())
        add_calls(reply.calls, self.name, task)
        answer = calls_text(reply.calls) if reply.calls else reply.text
        self._note(StepKind.ANSWER, answer, task)
        return self._shown(Outcome(answer=answer), task)

    def _get_stronger(self, make: Callable[[], Paradigm]) -> Paradigm:
        if self._stronger is None:
            self._stronger = make()
        return self._stronger

    def _shown(self, outcome: Outcome, task: TaskRun) -> Outcome:
        """Pass on an answer that was held back."""
        task.listener.on_answer(outcome.answer)
        return outcome

    def _note(self, kind: StepKind, text: str, task: TaskRun) -> None:
        task.add(Step(agent=self.name, kind=kind, text=text))


class _Held:
    """A listener that is shown steps and texts, but no answer."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def on_text(self, agent: str, text: str) -> None:
        self._listener.on_text(agent, text)

    def on_answer(self, text: str) -> None:
        """Hold it back."""

    def on_step(self, step: Step) -> None:
        self._listener.on_step(step)


def _run_within(paradigm: Paradigm, question: str, task: TaskRun, *, quiet: bool) -> Outcome:
    """Run a paradigm as a part of a task: same spans, same limits, its steps and turns added."""
    part = TaskRun(
        listener=_Held(task.listener) if quiet else task.listener,
        limits=task.limits,
        functions=task.functions,
    )
    part.recorder = task.recorder
    try:
        return paradigm.run(question, part)
    finally:
        task.turns += part.turns
        task.steps += part.steps


def _stands(first: Outcome | None) -> bool:
    """Whether there is a first answer to return to."""
    return first is not None and first.completed_unaided
