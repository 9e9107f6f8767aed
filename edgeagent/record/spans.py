"""Spans: what ran, when, for which agent, and how many tokens it read, reused and wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol, TypeAlias

from pydantic import Field

from edgeagent.clock import now_ns
from edgeagent.record.base import Record


class SpanKind(StrEnum):
    """The phases that time, memory and energy are attributed to."""

    LOAD = "load"
    PREFILL = "prefill"
    DECODE = "decode"
    TOOL = "tool"
    ORCHESTRATE = "orchestrate"
    IDLE = "idle"


class Span(Record):
    """One interval of work; leaves are prefill, decode and tool, inner nodes are orchestrate.

    Attributes:
        id: Unique within its trace, in order of creation.
        parent_id: The enclosing span, `None` for a root.
        kind: The phase.
        agent: The role that the work was done for, such as `base` or `supervisor`.
        name: What exactly: a tool's name for `tool`, a step's name for `orchestrate`.
        t0_ns: Start on the monotonic clock (`edgeagent.clock`).
        t1_ns: End on the same clock.
        tokens_in: Prefill: length of the whole prompt, cached part included.
        tokens_cached: Prefill: the part of `tokens_in` that was already in the KV cache;
            exactly `tokens_in - tokens_cached` tokens were run through the model.
        tokens_out: Decode: tokens generated, forced ones included.
        tokens_forced: Decode: the part of `tokens_out` that a grammar left no choice about.
        tokens_drafted: Decode: tokens that speculation guessed and ran.
        tokens_accepted: Decode: the part of `tokens_drafted` that was right, and so is part of
            `tokens_out` without a step of its own.
        token_t_ns: Decode: when each generated token was known, same clock, one per token.
        logprob: Decode: natural logarithm of the probability that the model gave to what it chose,
            the sum over tokens that were not forced; `None` if nobody asked or it chose nothing.
    """

    id: int
    parent_id: int | None
    kind: SpanKind
    agent: str
    name: str = ""
    t0_ns: int
    t1_ns: int
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    tokens_forced: int = 0
    tokens_drafted: int = 0
    tokens_accepted: int = 0
    token_t_ns: tuple[int, ...] = ()
    logprob: float | None = Field(default=None, le=0)

    @property
    def duration_ns(self) -> int:
        """Length of the interval in nanoseconds."""
        return self.t1_ns - self.t0_ns


Trace: TypeAlias = tuple[Span, ...]


class OpenSpan:
    """A span that is still running; the code inside the `with` block sets its token counts."""

    def __init__(self, span_id: int) -> None:
        """Give the running span its identity; counts start at zero."""
        self.id = span_id
        self.tokens_in = 0
        self.tokens_cached = 0
        self.tokens_out = 0
        self.tokens_forced = 0
        self.tokens_drafted = 0
        self.tokens_accepted = 0
        self.token_t_ns: list[int] = []
        self.logprob: float | None = None


class EdgeListener(Protocol):
    """Looks at something each time a span starts or ends, such as energy counters.

    It is called just outside the span, so what it costs is not in the span but in its parent.
    """

    def on_edge(self, kind: SpanKind, *, entering: bool) -> None:
        """A span of this kind is about to start (`entering`) or has just ended."""
        ...


class NoEdges:
    """A listener that does nothing."""

    def on_edge(self, kind: SpanKind, *, entering: bool) -> None:
        """Ignore."""


class Recorder:
    """Collects the spans of one task; nesting follows the `with` blocks.

    Attributes:
        wants_logprobs: Whether decode spans shall tell how likely the model held its tokens; may be
            changed while a task runs.
    """

    def __init__(self, edges: EdgeListener | None = None) -> None:
        """Start an empty trace; `edges` is told of every start and end."""
        self.wants_logprobs = False
        self._edges: EdgeListener = edges or NoEdges()
        self._spans: list[Span] = []
        self._stack: list[int] = []
        self._next_id = 0

    @contextmanager
    def span(self, kind: SpanKind, agent: str, name: str = "") -> Iterator[OpenSpan]:
        """Time the block as one span; it is recorded even when the block raises."""
        running = OpenSpan(self._next_id)
        self._next_id += 1
        parent_id = self._stack[-1] if self._stack else None
        self._stack.append(running.id)
        self._edges.on_edge(kind, entering=True)
        t0_ns = now_ns()
        try:
            yield running
        finally:
            t1_ns = now_ns()
            self._edges.on_edge(kind, entering=False)
            self._stack.pop()
            self._spans.append(
                Span(
                    id=running.id,
                    parent_id=parent_id,
                    kind=kind,
                    agent=agent,
                    name=name,
                    t0_ns=t0_ns,
                    t1_ns=t1_ns,
                    tokens_in=running.tokens_in,
                    tokens_cached=running.tokens_cached,
                    tokens_out=running.tokens_out,
                    tokens_forced=running.tokens_forced,
                    tokens_drafted=running.tokens_drafted,
                    tokens_accepted=running.tokens_accepted,
                    token_t_ns=tuple(running.token_t_ns),
                    logprob=running.logprob,
                )
            )

    def trace(self) -> Trace:
        """Return the finished spans in order of creation."""
        return tuple(sorted(self._spans, key=lambda span: span.id))
