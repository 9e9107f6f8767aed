"""What one task accumulates while paradigms and agents work on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edgeagent.agent.stops import Limits
from edgeagent.record.outcome import Step
from edgeagent.record.spans import EdgeListener, Recorder


class Listener(Protocol):
    """Follows a task while it runs, to stream text or show steps."""

    def on_text(self, agent: str, text: str) -> None:
        """A piece of generated text of a role."""
        ...

    def on_answer(self, text: str) -> None:
        """A piece of the answer that the user gets."""
        ...

    def on_step(self, step: Step) -> None:
        """A finished step."""
        ...


class Silent:
    """A listener that does nothing."""

    def on_text(self, agent: str, text: str) -> None:
        """Ignore."""

    def on_answer(self, text: str) -> None:
        """Ignore."""

    def on_step(self, step: Step) -> None:
        """Ignore."""


class _Heard:
    """Passes everything on, and knows what of the answer the user has seen."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.shown = ""

    def on_text(self, agent: str, text: str) -> None:
        self._listener.on_text(agent, text)

    def on_answer(self, text: str) -> None:
        self.shown += text
        self._listener.on_answer(text)

    def on_step(self, step: Step) -> None:
        self._listener.on_step(step)


class TaskRun:
    """The spans, steps, turns and limits of one task.

    Attributes:
        recorder: Its spans.
        limits: What it may use.
        functions: OpenAI function descriptions that the task brings along. They are called and
            never run: the calls are the answer, as in function-calling benchmarks.
    """

    def __init__(
        self,
        timeout_s: float = 120.0,
        listener: Listener | None = None,
        edges: EdgeListener | None = None,
        *,
        limits: Limits | None = None,
        functions: Sequence[Mapping[str, object]] = (),
    ) -> None:
        """Begin a task; `edges` is told when spans start and end.

        `limits` are all that it may use; without them `timeout_s` is the only one.
        """
        self.recorder = Recorder(edges)
        self.limits = limits or Limits(timeout_s)
        self.functions = tuple(functions)
        self._heard = _Heard(listener or Silent())
        self.listener: Listener = self._heard
        self.steps: list[Step] = []
        self.turns = 0
        self.speaker = ""
        """The role whose answer the user gets; the paradigm sets it."""

    def text_sink(
        self, agent: str, answer_part: Callable[[str], str], held_chars: int = 0
    ) -> Callable[[str], None]:
        """Return a function that passes on one turn of a role, piece by piece.

        Args:
            agent: The role.
            answer_part: Returns what of the turn so far is answer.
            held_chars: Characters of an answer that are held back, as a call may still follow.
        """
        turn = ""
        answered = 0

        def pass_on(piece: str) -> None:
            nonlocal turn, answered
            turn += piece
            self.listener.on_text(agent, piece)
            if agent == self.speaker:
                answer = answer_part(turn)
                if len(answer) > max(answered, held_chars):
                    self.listener.on_answer(answer[answered:])
                    answered = len(answer)

        return pass_on

    def show(self, agent: str, answer: str) -> None:
        """Pass on an answer of a role that was not streamed."""
        if agent == self.speaker:
            self.listener.on_answer(answer)

    def finish(self, answer: str) -> None:
        """Show what the user has not seen yet of the answer that counts."""
        shown = self._heard.shown.strip()
        if answer and not shown.endswith(answer.strip()):
            rest = answer.strip().removeprefix(shown)
            gap = "\n" if shown and rest == answer.strip() else ""
            self.listener.on_answer(gap + rest)

    def add(self, step: Step) -> None:
        """Keep a finished step and show it."""
        self.steps.append(step)
        self.listener.on_step(step)
