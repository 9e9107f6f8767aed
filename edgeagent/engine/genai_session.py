"""A session of the real engine: one generator of onnxruntime-genai and what its cache holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeagent.config.run import NGramSpeculation
from edgeagent.engine.decoding import decode_loop, decode_steps
from edgeagent.engine.genai_runtime import first_line
from edgeagent.engine.grammar import GrammarMatcher
from edgeagent.engine.prefill import check_appended, check_rewound, chunk_end
from edgeagent.engine.protocol import (
    Cancelled,
    DecodeParams,
    OnProgress,
    ShouldStop,
    TokenEvent,
)
from edgeagent.engine.sampling import Logits
from edgeagent.engine.speculation import Lookahead, draft
from edgeagent.errors import EngineError


@dataclass(frozen=True, slots=True)
class SessionRuntime:
    """What a session needs of its engine."""

    new_generator: Callable[[], Any]
    new_stream: Callable[[], Any]
    new_matcher: Callable[[str], GrammarMatcher]
    eos_ids: frozenset[int]
    vocab_size: int


class GenaiSession:
    """One generator, whose KV cache is extended only by `append_tokens`."""

    def __init__(
        self,
        runtime: SessionRuntime,
        *,
        max_context_len: int,
        prefill_chunk_len: int,
        speculation: NGramSpeculation | None = None,
    ) -> None:
        self._runtime = runtime
        self._generator = runtime.new_generator()
        self._prefill_chunk_len = prefill_chunk_len
        self._tokens: list[int] = []
        self._cached_len = 0
        self._logits_are_current = False
        self._speculation = speculation
        # Guesses lie in the cache behind `cached_len`; while there are some, that is everything.
        self._ahead: Lookahead | None = None
        self.drafted_len = 0
        self.max_context_len = max_context_len

    @property
    def tokens(self) -> Sequence[int]:
        """The conversation."""
        return self._tokens

    @property
    def cached_len(self) -> int:
        """How much of it is in the cache."""
        return self._cached_len

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self.max_context_len - len(self._tokens)

    def append(
        self,
        token_ids: Sequence[int],
        *,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        """Prefill in chunks."""
        check_appended(token_ids, len(self._tokens), self.max_context_len, self._runtime.vocab_size)
        length = len(self._tokens)
        self._tokens.extend(token_ids)
        try:
            self._run(on_progress, should_stop)
        except BaseException:  # Ctrl-C too: what was generated before stays, in the cache or not
            del self._tokens[max(length, self._cached_len) :]
            raise

    def _run(
        self, on_progress: OnProgress | None = None, should_stop: ShouldStop | None = None
    ) -> None:
        """Run the tokens that are not in the cache yet."""
        self._mend_cache()
        first, total = self._cached_len, len(self._tokens) - self._cached_len
        while self._cached_len < len(self._tokens):
            if should_stop is not None and should_stop():
                raise Cancelled
            end = chunk_end(self._cached_len, len(self._tokens), self._prefill_chunk_len)
            self._append_native(self._tokens[self._cached_len : end])
            self._cached_len = end
            self._logits_are_current = True
            if on_progress is not None:
                on_progress(end - first, total)

    def _mend_cache(self) -> None:
        """Forget what the cache holds beyond `cached_len`."""
        self._ahead = None
        if self._open_generator().token_count() != self._cached_len:
            # Wrong guesses, or Ctrl-C came between the end of a native call and our bookkeeping.
            self._rewind_cache(self._cached_len)

    def _append_native(self, token_ids: Sequence[int]) -> None:
        self._logits_are_current = False
        try:
            self._generator.append_tokens(np.asarray(token_ids, dtype=np.int32))
        except Exception as error:
            raise EngineError(f"The runtime failed on a prompt: {first_line(error)}.") from error

    def _open_generator(self) -> Any:
        if self._generator is None:
            raise EngineError("The session is closed.")
        return self._generator

    def decode(
        self, params: DecodeParams, *, should_stop: ShouldStop | None = None
    ) -> Iterator[TokenEvent]:
        """Generate."""
        self._open_generator()
        if not self._tokens:
            raise EngineError("Nothing was appended yet, so there is nothing to continue.")
        steps = decode_steps(
            self,
            params,
            matcher=self._runtime.new_matcher(params.grammar)
            if params.grammar is not None
            else None,
            eos_ids=self._runtime.eos_ids,
            stream=self._runtime.new_stream(),
        )
        return decode_loop(steps, should_stop)

    def next_logits(self) -> Logits:
        """Return the logits `(vocab,) float32` after the last token."""
        self.drafted_len = 0
        if self._ahead is not None:
            return self._ahead.logits
        if self._cached_len == len(self._tokens) and not self._logits_are_current:
            # Rewound without appending: the last kept token is run again to get its logits, with
            # its neighbour, as a single row would be rounded differently from the prompt's.
            self._rewind_cache(max(0, self._cached_len - 2))
        guessed = self._guess()
        if guessed:
            return self._run_ahead(guessed)
        self._run()
        logits: Logits = self._generator.get_logits().reshape(-1)
        return logits

    def _guess(self) -> list[int]:
        """Return tokens to run behind those that are to be run anyway, empty for none."""
        pending_len = len(self._tokens) - self._cached_len
        if self._speculation is None or pending_len == 0:
            return []
        room = min(self.room, self._prefill_chunk_len - pending_len)
        return draft(self._tokens, self._speculation, room) if room > 0 else []

    def _run_ahead(self, guessed: list[int]) -> Logits:
        """Run what is to be run with guesses behind it; return the logits before them."""
        self._mend_cache()
        pending = self._tokens[self._cached_len :]
        self._append_native([*pending, *guessed])
        rows = self._generator.get_output("logits")[0, len(pending) - 1 :]
        self._cached_len = len(self._tokens)
        self._ahead = Lookahead(guessed, rows)
        self.drafted_len = len(guessed)
        return self._ahead.logits

    def accept(self, token_id: int) -> bool:
        """Keep a generated token; if it was not guessed, it is run with what comes next."""
        self._tokens.append(token_id)
        if self._ahead is None:
            return False
        if self._ahead.follow(token_id):
            self._cached_len += 1
            return True
        self._ahead = None
        return False

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        check_rewound(length, len(self._tokens))
        del self._tokens[length:]
        if length < self._cached_len:
            self._rewind_cache(length)

    def _rewind_cache(self, length: int) -> None:
        self._ahead = None
        self._logits_are_current = False
        try:
            self._open_generator().rewind_to(length)
        except EngineError:
            raise
        except Exception:  # recurrent and windowed caches refuse, saying so in many ways
            self._cached_len = 0
            self._speculation = None  # a wrong guess would cost a prefill
            self._generator = None  # freed before the next one is allocated
            self._generator = self._runtime.new_generator()
        else:
            self._cached_len = length

    def close(self) -> None:
        """Free the cache."""
        self._generator = None
