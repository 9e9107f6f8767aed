"""A session of the real engine: one generator of onnxruntime-genai and what its cache holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeagent.engine.decoding import decode_loop
from edgeagent.engine.genai_runtime import first_line
from edgeagent.engine.grammar import GrammarMatcher
from edgeagent.engine.protocol import (
    Cancelled,
    DecodeParams,
    OnProgress,
    ShouldStop,
    TokenEvent,
)
from edgeagent.engine.sampling import Logits
from edgeagent.errors import EngineError, ResourceError


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
        self, runtime: SessionRuntime, *, max_context_len: int, prefill_chunk_len: int
    ) -> None:
        self._runtime = runtime
        self._generator = runtime.new_generator()
        self._prefill_chunk_len = prefill_chunk_len
        self._tokens: list[int] = []
        self._cached_len = 0
        self._logits_are_current = False
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
        if len(token_ids) > self.room:
            raise ResourceError(
                f"{len(token_ids)} more tokens do not fit the context of {self.max_context_len} "
                f"that already holds {len(self._tokens)}."
            )
        if any(not 0 <= token < self._runtime.vocab_size for token in token_ids):
            raise EngineError(
                f"A token id is outside the model's vocabulary of {self._runtime.vocab_size}; the "
                "tokenizer is not the model's own."
            )
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
        generator = self._open_generator()
        if generator.token_count() != self._cached_len:
            # Ctrl-C came between the end of a native call and our bookkeeping.
            self._rewind_cache(self._cached_len)
        first, total = self._cached_len, len(self._tokens) - self._cached_len
        while self._cached_len < len(self._tokens):
            if should_stop is not None and should_stop():
                raise Cancelled
            end = min(self._cached_len + self._prefill_chunk_len, len(self._tokens))
            if len(self._tokens) - end == 1 and end - self._cached_len > 2:
                # A single row takes another kernel, which rounds differently: without one, logits
                # do not depend on where a prompt is cut. Chunks do not get longer instead, as the
                # runtime cuts long ones into blocks itself.
                end -= 1
            chunk = np.asarray(self._tokens[self._cached_len : end], dtype=np.int32)
            self._logits_are_current = False
            try:
                self._generator.append_tokens(chunk)
            except Exception as error:
                raise EngineError(
                    f"The runtime failed on a prompt: {first_line(error)}."
                ) from error
            self._cached_len = end
            self._logits_are_current = True
            if on_progress is not None:
                on_progress(end - first, total)

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
        return decode_loop(
            self,
            params,
            matcher=self._runtime.new_matcher(params.grammar)
            if params.grammar is not None
            else None,
            eos_ids=self._runtime.eos_ids,
            stream=self._runtime.new_stream(),
            should_stop=should_stop,
        )

    def next_logits(self) -> Logits:
        """Return the logits `(vocab,) float32` after the last token."""
        if self._cached_len == len(self._tokens) and not self._logits_are_current:
            # Rewound without appending: the last kept token is run again to get its logits, with
            # its neighbour, as a single row would be rounded differently from the prompt's.
            self._rewind_cache(max(0, self._cached_len - 2))
        self._run()
        logits: Logits = self._generator.get_logits().reshape(-1)
        return logits

    def accept(self, token_id: int) -> None:
        """Keep a generated token; it is run together with what comes next."""
        self._tokens.append(token_id)

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        if not 0 <= length <= len(self._tokens):
            raise ValueError(f"cannot rewind to {length} of {len(self._tokens)} tokens")
        del self._tokens[length:]
        if length < self._cached_len:
            self._rewind_cache(length)

    def _rewind_cache(self, length: int) -> None:
        self._logits_are_current = False
        try:
            self._open_generator().rewind_to(length)
        except EngineError:
            raise
        except Exception:  # recurrent and windowed caches refuse, saying so in many ways
            self._cached_len = 0
            self._generator = None  # freed before the next one is allocated
            self._generator = self._runtime.new_generator()
        else:
            self._cached_len = length

    def close(self) -> None:
        """Free the cache."""
        self._generator = None
