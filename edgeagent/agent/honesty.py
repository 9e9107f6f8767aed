"""Saying that there is no answer, instead of one that was made up.

Two ways of making things up can be seen without knowing the truth: stating what no tool found after
the last tool failed, and repeating what only a remembered example states.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeagent.agent.formats.protocol import Example
from edgeagent.agent.numbers import numbers_in, spelled_numbers_in
from edgeagent.record.outcome import Step, StepKind

ERROR = "Error: "
"""Begins what a model sees of a tool that failed."""

_OPENING = "I cannot answer that: "

_ADMISSION = re.compile(
    r"""
    \b(?:
        cannot | can['\u2019]?t | can\ not | could(?:\ not|n['\u2019]?t) | unable | impossible
      | (?:do|does|did|is|are|was|were|has|have|had)(?:\ not|n['\u2019]?t)
      | not\ (?:possible|found|known|available|stated|mentioned|listed|given|defined|allowed|sure)
      | no\ (?:such|document|information|answer|result|data|record|file|mention|match|one)
      | nothing | nobody | none | never | neither
      | undefined | unknown | unavailable | unclear | invalid
      | fail(?:s|ed|ure)? | error | sorry
    )\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n]\s*)[\"'(\[]*$")
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one call brought.

    Attributes:
        tool: The tool that was called.
        text: Its result, or what it said was wrong.
        failed: Whether it failed; so does an agent that was asked and refused.
    """

    tool: str
    text: str
    failed: bool


def findings(steps: Iterable[Step]) -> tuple[Finding, ...]:
    """Return what the tools of a task brought, without what was handed on between agents."""
    routes = {step.tool for step in steps if step.kind is StepKind.ROUTE}
    return tuple(
        Finding(
            step.tool, step.text.removeprefix(ERROR), failed=step.failed or is_refusal(step.text)
        )
        for step in steps
        if step.kind is StepKind.OBSERVATION and step.tool not in routes
    )


def refusal(
    answer: str, question: str, found: Sequence[Finding], *, grounded: bool = False
) -> str | None:
    """Return a refusal if the answer was made up after a tool had failed, else `None`.

    When the last call failed, a number that neither the question nor an earlier result states was
    computed or remembered by a model that had asked for help with it: it looks like a result and
    is none, in digits or in words. A grounded model knows nothing by itself that could be relied
    on: if it found nothing at all, its answer has to say so.

    Args:
        answer: What the agent wants to say.
        question: What was asked.
        found: What each call brought, in order.
        grounded: Whether the model is limited to what was said.
    """
    if not found or not found[-1].failed or is_refusal(answer):
        return None
    results = [one.text for one in found if not one.failed]
    made_up = figures(answer) - figures(question).union(*map(figures, results))
    honest = bool(results) or not grounded or admits(answer)
    if honest and not made_up:
        return None
    last = found[-1]
    if is_refusal(last.text):
        return last.text
    return f"{_OPENING}{last.tool} failed ({last.text.rstrip('. ')})."


def not_found(tool: str) -> str:
    """Return the refusal of a question for a figure that no result has."""
    return f"{_OPENING}what {tool} found does not say it."


def is_refusal(text: str) -> bool:
    """Whether a text is what `refusal` returns."""
    return text.startswith(_OPENING)


def admits(text: str) -> bool:
    """Whether a text says that something is not known or did not work."""
    return _ADMISSION.search(text) is not None


def borrowed(
    text: str, question: str, results: Iterable[str], examples: Iterable[Example]
) -> frozenset[str]:
    """Return the numbers and names in a text that only remembered examples state.

    They were copied: neither the question nor a result of this task has them.
    """
    own = [question, *results]
    known_names = set[str]().union(*map(words, own))
    known_numbers = set[float]().union(*map(figures, own))
    remembered = [part for example in examples for part in _parts(example)]
    other_names = {name for part in remembered for name in names(part)} - known_names
    other_numbers = set[float]().union(*map(figures, remembered)) - known_numbers
    numbers = {f"{number:g}" for number in figures(text) & other_numbers}
    return frozenset(numbers | (words(text) & other_names))


def figures(text: str) -> set[float]:
    """Return the numbers of a text, but `one` and `zero`: "no one", "division by zero"."""
    words = [value for value in spelled_numbers_in(text) if value > 1]
    return {abs(value) for value in (*numbers_in(text), *words)}


def words(text: str) -> set[str]:
    """Return the words of three letters and more, in lower case."""
    return {match.group().casefold() for match in _WORD.finditer(text)}


def names(text: str) -> set[str]:
    """Return the words with a capital letter that do not begin a sentence, in lower case."""
    return {
        match.group().casefold()
        for match in _WORD.finditer(text)
        if match.group()[0].isupper()
        and not _SENTENCE_START.search(text[max(0, match.start() - 8) : match.start()])
    }


def _parts(example: Example) -> list[str]:
    calls = (
        str(value)
        for turn in example.turns
        for call in turn.calls
        for value in call.arguments.values()
    )
    answers = (turn.answer for turn in example.turns if turn.answer)
    return [example.question, *calls, *example.observations, *answers]
