"""Several dialogues at once: their turns decode together, one run of the model for all of them.

Dialogues go in rounds: every one that still goes on gets its prompt prefilled, then all generate
their turns in one batch, then each takes its turn's text and works on, which may call tools. Rows
whose prompts are the same share one prefill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from edgeagent.agent.chat.conversation import count_token
from edgeagent.agent.groups import Rows
from edgeagent.agent.stops import AgentStop
from edgeagent.agent.task import TaskRun
from edgeagent.agent.turns import Dialogue, TurnRequest
from edgeagent.engine.protocol import DecodeParams
from edgeagent.errors import EngineError
from edgeagent.record.outcome import FailureMode
from edgeagent.record.spans import SpanKind

Result = str | AgentStop
"""The answer of a dialogue, or why it is stuck."""

Adjust = Callable[[int, DecodeParams], DecodeParams]
"""Returns how a row generates, from how its dialogue asked for it."""

Peek = Callable[[int, TurnRequest, str], str | None]
"""Returns the answer that a row's turn is, `None` if it is none."""

Settled = Callable[[Mapping[int, Result]], bool]
"""Whether these results are all that is needed, so that the other dialogues may be given up."""


def as_asked(_row: int, params: DecodeParams) -> DecodeParams:
    """Generate as the dialogue asked."""
    return params


def read_answer(_row: int, request: TurnRequest, text: str) -> str | None:
    """Take what would be streamed to the user for the answer."""
    return request.answer_part(text).strip() or None


def never_settled(_results: Mapping[int, Result]) -> bool:
    """Wait for all dialogues."""
    return False


@dataclass(frozen=True, slots=True)
class Manner:
    """How dialogues are run together.

    Attributes:
        adjust: Changes how rows generate, such as the seed.
        peek: Tells answers from calls before a dialogue has seen the turn, for `settled`.
        settled: Asked whenever a row came to an end; saying yes ends all.
    """

    adjust: Adjust = as_asked
    peek: Peek = read_answer
    settled: Settled = never_settled


def run_together(
    rows: Rows,
    dialogues: Mapping[int, Dialogue],
    task: TaskRun,
    *,
    name: str,
    manner: Manner | None = None,
) -> dict[int, Result]:
    """Run dialogues to their ends and return what came of them.

    Args:
        rows: Where they are held.
        dialogues: Which dialogue is held in which row.
        task: Counts turns, spans and limits of all of them.
        name: Whom the spans of decoding belong to.
        manner: How they are run, by default each as it asks and to its end.

    Returns:
        Results by row; rows that were given up, as all is settled, have none.

    Raises:
        EdgeAgentError: What is not one dialogue's own affair, such as a damaged package.
    """
    try:
        return _Driver(rows, dialogues, task, name, manner or Manner()).run()
    finally:
        for dialogue in dialogues.values():
            dialogue.close()


class _Driver:
    def __init__(
        self,
        rows: Rows,
        dialogues: Mapping[int, Dialogue],
        task: TaskRun,
        name: str,
        manner: Manner,
    ) -> None:
        self._rows = rows
        self._dialogues = dialogues
        self._task = task
        self._name = name
        self._manner = manner
        self._results: dict[int, Result] = {}
        self._asked: dict[int, TurnRequest] = {}
        """What each dialogue that goes on wants generated next."""
        self._is_settled = False

    def run(self) -> dict[int, Result]:
        for row, dialogue in self._dialogues.items():
            self._advance(row, partial(next, dialogue))
        while self._asked and not self._manner.settled(self._results):
            ready = self._prefill()
            if not ready:
                continue
            for row, said in self._decode(ready).items():
                self._take(row, said)
        return self._results

    def _advance(self, row: int, step: Callable[[], TurnRequest]) -> None:
        """Let a dialogue work up to its next turn or its end."""
        self._asked.pop(row, None)
        try:
            self._asked[row] = step()
        except StopIteration as end:
            self._results[row] = str(end.value)
        except AgentStop as stop:
            self._results[row] = stop

    def _take(self, row: int, said: Result) -> None:
        """Give a dialogue the text of its turn, or what stopped it."""
        dialogue = self._dialogues[row]
        if isinstance(said, AgentStop):
            self._advance(row, partial(dialogue.throw, said))
        else:
            self._advance(row, partial(dialogue.send, said))

    def _prefill(self) -> dict[int, TurnRequest]:
        """Put all prompts into their rows; a dialogue whose prompt does not fit may shorten it."""
        ready: dict[int, TurnRequest] = {}
        for row in sorted(self._asked):
            while row in self._asked and row not in ready:
                request = self._asked[row]
                self._task.turns += 1
                try:
                    self._rows.prefill(row, request, ready, self._task.recorder, self._task.limits)
                except AgentStop as stop:
                    self._take(row, stop)
                else:
                    ready[row] = request
        return ready

    def _decode(self, ready: Mapping[int, TurnRequest]) -> dict[int, Result]:
        """Generate the turns of these rows; rows that are given up are left out."""
        heard = {row: self._rows.conversations[row].listen() for row in ready}
        try:
            texts = self._generate(ready)
        except EngineError as error:
            return dict.fromkeys(ready, AgentStop(FailureMode.ERROR, str(error)))
        for row in set(ready) - set(texts):
            del self._asked[row]
        for row, text in texts.items():
            heard[row](text)
        return {row: self._checked(row, text) for row, text in texts.items()}

    def _generate(self, ready: Mapping[int, TurnRequest]) -> dict[int, str]:
        """Return the text of each row's turn, or of answers only if those settle everything."""
        task, limits, manner = self._task, self._task.limits, self._manner
        sinks = {
            row: task.text_sink(self._rows.names[row], request.answer_part)
            for row, request in ready.items()
        }
        texts = dict.fromkeys(ready, "")
        answers: dict[int, str] = {}
        self._is_settled = False
        with task.recorder.span(SpanKind.DECODE, self._name) as span:
            try:
                for row, event in self._rows.group.decode(
                    self._params(ready),
                    should_stop=lambda: self._is_settled or limits.passed(),
                ):
                    if event is not None:
                        count_token(span, event)
                        texts[row] += event.text
                        if event.text:
                            sinks[row](event.text)
                        continue
                    answer = manner.peek(row, ready[row], texts[row])
                    if answer is not None:
                        answers[row] = answer
                        self._is_settled = manner.settled({**self._results, **answers})
            finally:
                limits.spend(span.tokens_out)
        return {row: texts[row] for row in answers} if self._is_settled else texts

    def _params(self, ready: Mapping[int, TurnRequest]) -> dict[int, DecodeParams]:
        """Return how each row generates; rows share the tokens that the task has left."""
        limits, recorder = self._task.limits, self._task.recorder
        wanted = {row: self._manner.adjust(row, request.params) for row, request in ready.items()}
        total = sum(params.max_new_tokens for params in wanted.values())
        left = limits.tokens_left(total)
        params = {}
        for index, (row, asked) in enumerate(wanted.items()):
            share = asked.max_new_tokens
            if left < total:  # the first rows get what cannot be divided
                share = min(share, left // len(wanted) + (index < left % len(wanted)))
            params[row] = replace(
                asked, max_new_tokens=share, logprobs=asked.logprobs or recorder.wants_logprobs
            )
        return params

    def _checked(self, row: int, text: str) -> Result:
        try:
            if self._task.limits.passed():
                self._task.limits.check()
            self._rows.conversations[row].check_room()
        except AgentStop as stop:
            return stop
        return text
