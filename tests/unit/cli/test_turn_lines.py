from __future__ import annotations

from edgeagent.cli.turns import turn_lines
from edgeagent.record.spans import Span, SpanKind


def span(number: int, kind: SpanKind, **counts: int) -> Span:
    start = number * 1_000_000_000
    return Span(
        id=number,
        parent_id=None,
        kind=kind,
        agent="agent",
        t0_ns=start,
        t1_ns=start + 250_000_000,
        **counts,
    )


def test_a_turn_says_what_was_read_reused_and_written() -> None:
    trace = (
        span(0, SpanKind.PREFILL, tokens_in=300, tokens_cached=280),
        span(1, SpanKind.DECODE, tokens_out=20, tokens_forced=14),
        span(2, SpanKind.TOOL),
        span(3, SpanKind.PREFILL, tokens_in=340, tokens_cached=320),
        span(4, SpanKind.DECODE, tokens_out=5),
    )
    assert list(turn_lines(trace)) == [
        "[agent] turn 1: 300 prompt tokens, 280 cached, 20 prefilled in 0.25 s; "
        "20 written, 14 forced, 6 decoded in 0.25 s",
        "[agent] turn 2: 340 prompt tokens, 320 cached, 20 prefilled in 0.25 s; "
        "5 written, 0 forced, 5 decoded in 0.25 s",
    ]


def test_rows_that_decode_together_are_one_turn() -> None:
    trace = (
        span(0, SpanKind.PREFILL, tokens_in=100, tokens_cached=60),
        span(1, SpanKind.PREFILL, tokens_in=100, tokens_cached=100),
        span(2, SpanKind.DECODE, tokens_out=12),
    )
    (line,) = turn_lines(trace)
    assert "200 prompt tokens, 160 cached, 40 prefilled in 0.50 s; 12 written" in line
