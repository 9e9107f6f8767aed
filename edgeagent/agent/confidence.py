"""How far an answer can be relied on, from what the model itself and its tools say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from edgeagent.agent.honesty import is_refusal
from edgeagent.agent.tools.protocol import Tool, offers
from edgeagent.record.outcome import Outcome, StepKind
from edgeagent.record.spans import Span, SpanKind

_UNSURE = re.compile(
    r"\b(?:I (?:don['\u2019]?t|do not|can(?:no|['\u2019])t) (?:know|answer|say|tell|find)"
    r"|I(?:['\u2019]m| am) not (?:sure|able)|I(?:['\u2019]m| am) unable)\b",
    re.IGNORECASE,
)


def confidence(spans: Iterable[Span]) -> float | None:
    """Return how likely a model held what it wrote, 0 to 1: of the turn that it held least likely.

    For one turn that is the geometric mean of the probabilities of its tokens, those that a grammar
    forced left out.

    Returns:
        `None` if no span tells, see `Recorder.wants_logprobs`.
    """
    means = [
        span.logprob / (span.tokens_out - span.tokens_forced)
        for span in spans
        if span.kind is SpanKind.DECODE
        and span.logprob is not None
        and span.tokens_out > span.tokens_forced
    ]
    return math.exp(min(means)) if means else None


def needs_tool(question: str, tools: Sequence[Tool]) -> bool:
    """Whether a tool has something to work on in the question, as far as tools can tell."""
    able = [tool for tool in tools if hasattr(tool, "offer")]
    return bool(offers(able, question, (), narrow=True))


def doubt(outcome: Outcome, *, needed_tool: bool) -> str | None:
    """Return why an answer is in doubt whatever its model thinks of it, else `None`."""
    if outcome.fell_back or outcome.failure is not None or not outcome.completed:
        return f"it was stuck ({outcome.failure.value if outcome.failure else 'no answer'})"
    if is_refusal(outcome.answer) or _UNSURE.search(outcome.answer):
        return "it has no answer"
    found = any(step.kind is StepKind.OBSERVATION and not step.failed for step in outcome.steps)
    if needed_tool and not found:
        return "a tool could have helped and brought nothing"
    return None
