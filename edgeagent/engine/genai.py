"""The real engine: onnxruntime-genai.

What the runtime does when it is used naively, and what is done here instead:

- It sends telemetry unless told not to before its first import: `edgeagent.privacy` comes first.
- It allocates and zeroes a KV cache for the model's whole context: sessions pass the length they
  were opened for.
- After a stop by one's own budget the last token was never run and leaves a hole in the cache;
  after a rewind the next generated token is the old one: tokens are chosen here from the logits
  and always appended, `generate_next_token` is not used.
- It holds the GIL during native calls: prompts are appended in chunks, so a prefill can be
  cancelled and watched, and nothing in this process is trusted to sample meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edgeagent.clock import now_ns
from edgeagent.config.run import EngineConfig
from edgeagent.engine.decoding import decode_loop
from edgeagent.engine.genai_package import CONFIG_NAME, read_package
from edgeagent.engine.genai_runtime import import_runtime, open_model
from edgeagent.engine.grammar import GrammarMatcher, GrammarTokenizer
from edgeagent.engine.protocol import (
    Cancelled,
    DecodeParams,
    EngineInfo,
    OnProgress,
    ShouldStop,
    TokenEvent,
)
from edgeagent.engine.sampling import Logits
from edgeagent.errors import EngineError, ResourceError


class GenaiEngine:
    """One package, loaded."""

    def __init__(self, folder: Path, config: EngineConfig | None = None) -> None:
        """Load the package.

        Raises:
            EngineError: The package is damaged, or the runtime or the execution provider refused.
            ResourceError: Less memory is available than the weights need.
        """
        self._config = config or EngineConfig()
        self._facts = read_package(folder)
        _check_memory(self._facts.weights_bytes, f"Loading {folder.name}")
        og = import_runtime()
        t0_ns = now_ns()
        self._model, ep = open_model(folder, self._config)
        self._og = og
        try:
            self._tokenizer: Any = og.Tokenizer(self._model)
        except Exception as error:
            raise EngineError(f"{folder}: the tokenizer cannot be loaded: {error}.") from error
        self._grammar_tokenizer: GrammarTokenizer | None = None
        self.info = EngineInfo(
            name="genai",
            version=str(og.__version__),
            ep=ep,
            context_len=self._facts.context_len,
            vocab_size=self._facts.vocab_size,
            kv_bytes_per_token=self._facts.kv_bytes_per_token,
            load_ns=now_ns() - t0_ns,
        )
        self.chat_template = self._facts.chat_template
        self.control_tokens = self._facts.control_tokens

    def encode(self, text: str) -> list[int]:
        """Tokenize; nothing is added."""
        return [int(token) for token in self._tokenizer.encode(text)]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of the tokens."""
        return str(self._tokenizer.decode(np.asarray(token_ids, dtype=np.int32)))

    def open(self, max_context_len: int) -> GenaiSession:
        """Open a session; its KV cache is allocated now.

        Raises:
            ResourceError: Longer than the package's context, or not enough memory.
        """
        if max_context_len > self._facts.context_len:
            raise ResourceError(
                f"A context of {max_context_len} tokens was asked for, but "
                f"{self._facts.folder / CONFIG_NAME} allows {self._facts.context_len}."
            )
        _check_memory(
            max_context_len * self._facts.kv_bytes_per_token,
            f"A KV cache for {max_context_len} tokens",
        )
        params = self._og.GeneratorParams(self._model)
        params.set_search_options(max_length=max_context_len, batch_size=1, do_sample=False)
        return GenaiSession(
            generator=self._og.Generator(self._model, params),
            new_stream=self._tokenizer.create_stream,
            new_matcher=self.matcher,
            eos_ids=frozenset(self._facts.eos_ids),
            max_context_len=max_context_len,
            prefill_chunk_len=self._config.prefill_chunk_len,
        )

    def matcher(self, grammar: str) -> GrammarMatcher:
        """Compile a grammar for this vocabulary; the token trie is built at the first call."""
        if self._grammar_tokenizer is None:
            self._grammar_tokenizer = GrammarTokenizer(
                self._facts.tokenizer_json, self._facts.vocab_size, self._facts.eos_ids
            )
        return GrammarMatcher(self._grammar_tokenizer, grammar)

    def close(self) -> None:
        """Unload the model."""
        self._tokenizer = None
        self._model = None


class GenaiSession:
    """One generator, whose KV cache is extended only by `append_tokens`."""

    def __init__(
        self,
        *,
        generator: Any,
        new_stream: Callable[[], Any],
        new_matcher: Callable[[str], GrammarMatcher],
        eos_ids: frozenset[int],
        max_context_len: int,
        prefill_chunk_len: int,
    ) -> None:
        self._generator = generator
        self._new_stream = new_stream
        self._new_matcher = new_matcher
        self._eos_ids = eos_ids
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
        self._tokens.extend(token_ids)
        self._run(on_progress, should_stop)

    def _run(
        self, on_progress: OnProgress | None = None, should_stop: ShouldStop | None = None
    ) -> None:
        """Run the tokens that are not in the cache yet."""
        first, total = self._cached_len, len(self._tokens) - self._cached_len
        while self._cached_len < len(self._tokens):
            if should_stop is not None and should_stop():
                del self._tokens[self._cached_len :]
                raise Cancelled
            end = min(self._cached_len + self._prefill_chunk_len, len(self._tokens))
            chunk = np.asarray(self._tokens[self._cached_len : end], dtype=np.int32)
            self._logits_are_current = False
            try:
                self._generator.append_tokens(chunk)
            except Exception as error:
                raise EngineError(f"The runtime failed on a prompt: {error}.") from error
            self._cached_len = end
            self._logits_are_current = True
            if on_progress is not None:
                on_progress(end - first, total)

    def decode(
        self, params: DecodeParams, *, should_stop: ShouldStop | None = None
    ) -> Iterator[TokenEvent]:
        """Generate."""
        if not self._tokens:
            raise EngineError("Nothing was appended yet, so there is nothing to continue.")
        return decode_loop(
            self,
            params,
            matcher=self._new_matcher(params.grammar) if params.grammar else None,
            eos_ids=self._eos_ids,
            stream=self._new_stream(),
            should_stop=should_stop,
        )

    def next_logits(self) -> Logits:
        """Return the logits `(vocab,) float32` after the last token."""
        if self._cached_len == len(self._tokens) and not self._logits_are_current:
            # Rewound without appending: the last kept token is run again to get its logits.
            self._rewind_cache(self._cached_len - 1)
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
        try:
            self._generator.rewind_to(length)
        except Exception as error:
            raise EngineError(f"This model's cache cannot be rewound: {error}.") from error
        self._cached_len = length
        self._logits_are_current = False

    def close(self) -> None:
        """Free the cache."""
        self._generator = None


def _check_memory(needed_bytes: int, what: str) -> None:
    available = psutil.virtual_memory().available
    if needed_bytes > available:
        raise ResourceError(
            f"{what} needs {needed_bytes / 1e6:.0f} MB of memory, but {available / 1e6:.0f} MB "
            "are available; close other programs or choose a smaller model or context."
        )
