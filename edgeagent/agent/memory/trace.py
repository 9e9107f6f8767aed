"""A solved trace: what was asked, which calls brought what, and what was answered.

Only clean successes become one. An example teaches whatever it shows, so a trace with a detour, a
failed tool, a refusal or a text that gives orders is worth less than none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from edgeagent.agent.chat.orders import gives_orders
from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.honesty import is_refusal
from edgeagent.agent.memory.scrub import scrub
from edgeagent.clock import utc_now_iso
from edgeagent.record.base import Record
from edgeagent.record.outcome import Outcome, Step, StepKind

MAX_QUESTION_CHARS = 600
MAX_ANSWER_CHARS = 400
MAX_RESULT_CHARS = 400
"""An example is read again with every task that it is shown for, so it has to be short."""

MAX_ARGUMENTS_CHARS = 400
MAX_CALLS = 4
_MAX_NAME_CHARS = 100
_MAX_TOOLS = 64

_Name = Annotated[str, Field(min_length=1, max_length=_MAX_NAME_CHARS)]


class SolvedCall(Record):
    """One call of a solved trace.

    Attributes:
        tool: Its name.
        arguments: As the model gave them.
        result: What the tool answered, shortened.
    """

    tool: _Name
    arguments: dict[str, object]
    result: str = Field(min_length=1, max_length=MAX_RESULT_CHARS)


class SolvedTrace(Record):
    """One success that may be learned from.

    Attributes:
        question: What was asked.
        calls: In order; empty if the question needed no tool.
        answer: What was answered.
        tools: Names of the tools that were at hand.
        model_id: The model that solved it.
        accepted_by: Why it counts as solved: `user`, or `checker` and the suite, `checker:core@1`.
        solved_utc: When, ISO 8601.
    """

    question: str = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    calls: tuple[SolvedCall, ...] = Field(max_length=MAX_CALLS)
    answer: str = Field(min_length=1, max_length=MAX_ANSWER_CHARS)
    tools: tuple[_Name, ...] = Field(max_length=_MAX_TOOLS)
    model_id: str = Field(max_length=_MAX_NAME_CHARS)
    accepted_by: str = Field(min_length=1, max_length=_MAX_NAME_CHARS)
    solved_utc: str = Field(max_length=40)

    def example(self) -> Example:
        """Return the trace as a worked example: a call a turn, then the answer."""
        turns = [Turn(calls=(Call(call.tool, dict(call.arguments)),)) for call in self.calls]
        return Example(
            self.question,
            (*turns, Turn(answer=self.answer)),
            tuple(call.result for call in self.calls),
        )


@dataclass(frozen=True, slots=True)
class NotClean:
    """Why an outcome is not worth remembering, as the end of a sentence."""

    reason: str


def distil(
    question: str,
    outcome: Outcome,
    *,
    tools: Sequence[str],
    model_id: str,
    accepted_by: str,
) -> SolvedTrace | NotClean:
    """Return the trace of an outcome that somebody accepted, or why there is none.

    Args:
        question: What was asked.
        outcome: What a paradigm made of it; calls of several agents are put one after another.
        tools: Names of the tools that were at hand.
        model_id: The model.
        accepted_by: See `SolvedTrace`.
    """
    pairs = _pairs(outcome.steps)
    reason = _why_not(question, outcome, pairs)
    if reason:
        return NotClean(reason)
    asked, answer = (_one_line(text) for text in (question, outcome.answer))
    calls = tuple(
        SolvedCall(tool=step.tool, arguments=step.arguments, result=_short(scrub(found), answer))
        for step, found in pairs or ()
    )
    return SolvedTrace(
        question=asked,
        calls=calls,
        answer=answer,
        tools=tuple(tools)[:_MAX_TOOLS],
        model_id=model_id[:_MAX_NAME_CHARS],
        accepted_by=accepted_by[:_MAX_NAME_CHARS],
        solved_utc=utc_now_iso(),
    )


_Pairs = list[tuple[Step, str]]
"""Calls with their results."""


def _why_not(question: str, outcome: Outcome, pairs: _Pairs | None) -> str:
    """Return why an outcome is not clean, empty if it is."""
    found = pairs or []
    texts = [question, outcome.answer, *(result for _, result in found)]
    written = [json.dumps(step.arguments, ensure_ascii=False) for step, _ in found]
    lengths = (len(_one_line(question)), len(_one_line(outcome.answer)))
    reasons = {
        "the agent did not finish by itself": not outcome.completed_unaided,
        "the answer is a refusal": is_refusal(outcome.answer),
        "a tool failed on the way": any(step.failed for step in outcome.steps),
        "a call has no result": pairs is None,
        f"it took more than {MAX_CALLS} calls": len(found) > MAX_CALLS,
        "a text in it gives orders to the model": any(map(gives_orders, (*texts, *written))),
        "a text in it is not valid Unicode": not all(map(_is_unicode, (*texts, *written))),
        "question or answer is too long for an example": (
            lengths[0] > MAX_QUESTION_CHARS or lengths[1] > MAX_ANSWER_CHARS
        ),
        "a call is too long for an example": any(
            len(text) > MAX_ARGUMENTS_CHARS for text in written
        ),
        "a call holds personal data": any(scrub(text) != text for text in written),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _is_unicode(text: str) -> bool:
    """Whether a text has no halves of characters, which JSON may have and files may not."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _one_line(text: str) -> str:
    return scrub(" ".join(text.split()))


def _pairs(steps: Sequence[Step]) -> _Pairs | None:
    """Return the calls with their results, `None` if one has none; routes are left out."""
    waiting: list[Step] = []
    found: _Pairs = []
    for step in steps:
        if step.kind is StepKind.CALL:
            waiting.append(step)
        elif step.kind is StepKind.OBSERVATION:
            call = next((call for call in waiting if call.tool == step.tool), None)
            if call is not None and step.text.strip():
                waiting.remove(call)
                found.append((call, step.text))
    return None if waiting else found


def _short(text: str, answer: str) -> str:
    """Cut a result, so that what was answered from it stays."""
    text = text.strip()
    if len(text) <= MAX_RESULT_CHARS:
        return text
    at = text.find(answer)
    start = 0 if at < 0 or at + len(answer) <= MAX_RESULT_CHARS else at
    return text[start : start + MAX_RESULT_CHARS].strip()
