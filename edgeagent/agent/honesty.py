"""Saying that there is no answer, instead of one that was made up after a tool had failed."""

from __future__ import annotations

import re

from edgeagent.agent.calls import CallLog

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def refusal(answer: str, question: str, log: CallLog) -> str | None:
    """Return a refusal if the answer states figures that nothing stands for, else `None`.

    When every call of a task failed, a number that the question does not state was computed or
    remembered by a model that had asked for help with it: it looks like a result and is none.
    """
    if log.results or not log.failures:
        return None
    if _numbers(answer) <= _numbers(question):
        return None
    failure = log.failures[-1]
    reason = failure.shown.removeprefix("Error: ")
    return f"I cannot answer that: {failure.call.tool} failed ({reason})."


def _numbers(text: str) -> set[float]:
    found = set()
    for match in _NUMBER.finditer(text):
        try:
            found.add(float(match.group().replace(",", "")))
        except ValueError:  # 1.2.3 is a version, not a number
            continue
    return found
