"""A session whose cache is a slot of a pool: run by itself here, with others by its group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeagent.engine.decoding import decode_loop, decode_steps
from edgeagent.engine.grammar import GrammarMatcher
from edgeagent.engine.ort_graph import CachePool, OrtGraph
from edgeagent.engine.prefill import (
    check_appended,
    check_rewound,
    chunk_end,
    common_prefix_len,
)
from edgeagent.engine.protocol import (
    Cancelled,
    DecodeParams,
    OnProgress,
    ShouldStop,
    TokenEvent,
)
from edgeagent.engine.sampling import Logits
from edgeagent.errors import EngineError


@dataclass(frozen=True, slots=True)
class RowRuntime:
    """What rows need of their engine."""

    graph: OrtGraph
    new_stream: Callable[[], Any]
    new_matcher: Callable[[str], GrammarMatcher]
    eos_ids: frozenset[int]
    vocab_size: int
    prefill_chunk_len: int
    adapter_file: Path | None = None


class Row:
    """One conversation in a pool of caches."""

    drafted_len = 0

    def __init__(self, runtime: RowRuntime, pool: CachePool, slot: int, max_context_len: int):
        self._runtime = runtime
        self._pool = pool
        self._closed = False
        self.slot = slot
        """Where in the pool the cache is."""
        self.tokens: list[int] = []
        self.cached_len = 0
        self.logits: Logits | None = None
        """Logits `(vocab,)` after the last token, once all tokens were run."""
        self.max_context_len = max_context_len

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self.max_context_len - len(self.tokens)

    @property
    def pending_len(self) -> int:
        """Tokens that are still to be run."""
        return len(self.tokens) - self.cached_len

    def append(
        self,
        token_ids: Sequence[int],
        *,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        """Prefill in chunks."""
        self.check_open()
        check_appended(token_ids, len(self.tokens), self.max_context_len, self._runtime.vocab_size)
        length = len(self.tokens)
        self.tokens.extend(token_ids)
        try:
            self.run(on_progress, should_stop)
        except BaseException:  # Ctrl-C too: what was generated before stays, in the cache or not
            del self.tokens[max(length, self.cached_len) :]
            raise

    def run(
        self, on_progress: OnProgress | None = None, should_stop: ShouldStop | None = None
    ) -> None:
        """Run what is not in the cache yet, by itself."""
        first, total = self.cached_len, self.pending_len
        while self.cached_len < len(self.tokens):
            if should_stop is not None and should_stop():
                raise Cancelled
            end = chunk_end(self.cached_len, len(self.tokens), self._runtime.prefill_chunk_len)
            new = np.asarray([self.tokens[self.cached_len : end]], dtype=np.int64)
            self.logits = None
            self.logits = self._runtime.graph.run(self._pool, self.slot, new, [end])[0]
            self.cached_len = end
            if on_progress is not None:
                on_progress(end - first, total)

    def decode(
        self, params: DecodeParams, *, should_stop: ShouldStop | None = None
    ) -> Iterator[TokenEvent]:
        """Generate by itself."""
        return decode_loop(self.steps(params), should_stop)

    def steps(self, params: DecodeParams) -> Iterator[TokenEvent | None]:
        """Generate, pausing before logits are needed.

        Raises:
            EngineError: As `Session.decode`.
        """
        self.check_open()
        if not self.tokens:
            raise EngineError("Nothing was appended yet, so there is nothing to continue.")
        runtime = self._runtime
        return decode_steps(
            self,
            params,
            matcher=runtime.new_matcher(params.grammar) if params.grammar is not None else None,
            eos_ids=runtime.eos_ids,
            stream=runtime.new_stream(),
        )

    def next_logits(self) -> Logits:
        """Return the logits after the last token; its group may have computed them already."""
        self.check_open()
        if self.pending_len == 0 and self.logits is None:
            # Rewound without appending: the last kept token is run again, with its neighbour, as a
            # single token would be rounded differently from the prompt's.
            self.cached_len = max(0, self.cached_len - 2)
        self.run()
        if self.logits is None:
            raise EngineError("Nothing is left to continue.")
        return self.logits

    def accept(self, token_id: int) -> bool:
        """Keep a generated token; it is run with what comes next."""
        self.tokens.append(token_id)
        self.logits = None
        return False

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        check_rewound(length, len(self.tokens))
        if length < len(self.tokens):
            self.logits = None
        del self.tokens[length:]
        self.cached_len = min(self.cached_len, length)

    def copy_of(self, other: Row) -> None:
        """Hold what another row holds, by copying the part of its cache that differs."""
        kept = min(common_prefix_len(self.tokens, other.tokens), self.cached_len)
        # In this order: if Ctrl-C comes between, nothing is taken for cached that is not.
        self.logits = None
        self.cached_len = kept
        self.tokens[:] = other.tokens
        if other.cached_len > kept:
            self._pool.copy(other.slot, self.slot, kept, other.cached_len)
            self.cached_len = other.cached_len
        self.logits = other.logits if self.pending_len == 0 else None

    def exchange_slot(self, other: Row) -> None:
        """Change places with another row of the pool."""
        mine, others = self.cached_len, other.cached_len
        self.cached_len = other.cached_len = 0  # should Ctrl-C come before both are in place
        self._pool.swap(self.slot, other.slot, max(mine, others))
        self.slot, other.slot = other.slot, self.slot
        self.cached_len, other.cached_len = mine, others

    def check_open(self) -> None:
        """Raise `EngineError` if the session is closed."""
        if self._closed:
            raise EngineError("The session is closed.")

    def close(self) -> None:
        """Refuse what comes; the caches are freed with those of the group."""
        self._closed = True
        self.logits = None
