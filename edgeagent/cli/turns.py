"""What each turn of a task cost in tokens, in words."""

from __future__ import annotations

from collections.abc import Iterator

from edgeagent.clock import to_seconds
from edgeagent.record.spans import Span, SpanKind, Trace


def turn_lines(trace: Trace) -> Iterator[str]:
    """Yield a line per turn: prompt tokens, cached, prefilled; generated ones, forced, decoded.

    A turn is what was prefilled and what was decoded behind it; several prefills before one decode
    are those of samples or agents that ran together.
    """
    prefills: list[Span] = []
    number = 0
    for span in sorted(trace, key=lambda span: span.t0_ns):
        if span.kind is SpanKind.PREFILL:
            prefills.append(span)
        elif span.kind is SpanKind.DECODE:
            number += 1
            yield f"[{span.agent}] turn {number}: {_read(prefills)}; {_written(span)}"
            prefills = []


def _read(prefills: list[Span]) -> str:
    tokens_in = sum(span.tokens_in for span in prefills)
    cached = sum(span.tokens_cached for span in prefills)
    took = to_seconds(sum(span.duration_ns for span in prefills))
    return (
        f"{tokens_in} prompt tokens, {cached} cached, {tokens_in - cached} prefilled "
        f"in {took:.2f} s"
    )


def _written(span: Span) -> str:
    decoded = span.tokens_out - span.tokens_forced
    return (
        f"{span.tokens_out} written, {span.tokens_forced} forced, {decoded} decoded "
        f"in {to_seconds(span.duration_ns):.2f} s"
    )
