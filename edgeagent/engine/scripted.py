"""A deterministic engine for tests of logic and faults: it says what a script says.

Its vocabulary is the 256 bytes plus control tokens, its context is counted like a real one,
and grammars are followed like in the real engine: the script is only a preference. Where the
grammar forbids the script's next byte, the lowest allowed byte is taken.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat

import numpy as np

from edgeagent.engine.adapters import require_adapter
from edgeagent.engine.decoding import decode_loop, decode_steps
from edgeagent.engine.grammar import SINGLE_BYTES, GrammarMatcher, GrammarTokenizer
from edgeagent.engine.prefill import check_appended, check_rewound
from edgeagent.engine.protocol import (
    Cancelled,
    DecodeParams,
    EngineInfo,
    OnProgress,
    ShouldStop,
    TokenEvent,
)
from edgeagent.engine.sampling import Logits
from edgeagent.engine.turns import TurnGroup
from edgeagent.errors import EngineError, ResourceError

BYTES = 256
EOS_ID = 261
VOCAB_SIZE = 262
"""The 256 bytes and the control tokens of llguidance's byte tokenizer, the last one ends a turn."""

Reply = Callable[[str], str]
"""Gets the whole conversation as text, returns what the model says next; may raise."""

CHAT_TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def replies(*texts: str) -> Reply:
    """Return a reply function that says the texts one after the other, then nothing."""
    remaining = chain(texts, repeat(""))
    return lambda _conversation: next(remaining)


class ScriptedEngine:
    """An engine whose model is a Python function."""

    def __init__(
        self,
        reply: Reply,
        *,
        context_len: int = 8192,
        adapters: Mapping[str, Reply] | None = None,
    ) -> None:
        """Create the engine.

        Args:
            reply: Asked once per decode call of a session without an adapter.
            context_len: Longest context in tokens.
            adapters: What is asked instead in sessions with one of these adapters.
        """
        self.reply = reply
        self.adapter_replies: Mapping[str, Reply] = adapters or {}
        self.adapters = tuple(sorted(self.adapter_replies))
        self.info = EngineInfo(
            name="scripted",
            version="1",
            ep="cpu",
            context_len=context_len,
            vocab_size=VOCAB_SIZE,
            kv_bytes_per_token=0,
            load_ns=0,
        )
        self.chat_template: str | None = CHAT_TEMPLATE
        self.chat_tokens: Mapping[str, str] = {}
        self.control_tokens: frozenset[str] = frozenset()
        self._grammar_tokenizer: GrammarTokenizer | None = None

    def encode(self, text: str) -> list[int]:
        """Return the UTF-8 bytes."""
        return list(text.encode(errors="replace"))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of the bytes."""
        return bytes(token for token in token_ids if token < BYTES).decode(errors="replace")

    def open(self, max_context_len: int, adapter: str | None = None) -> ScriptedSession:
        """Open a session."""
        if max_context_len < 1:
            raise ValueError(f"a context of {max_context_len} tokens holds nothing")
        if max_context_len > self.info.context_len:
            raise ResourceError(
                f"The context of {max_context_len} tokens is longer than the model's "
                f"{self.info.context_len}."
            )
        if adapter is not None:
            require_adapter(adapter, self.adapters, "the scripted engine")
        return ScriptedSession(self, max_context_len, adapter)

    def open_group(self, rows: int, max_context_len: int, adapter: str | None = None) -> TurnGroup:
        """Open sessions that take turns."""
        if rows < 1:
            raise ValueError(f"a group of {rows} sessions decodes nothing")
        return TurnGroup(lambda: self.open(max_context_len, adapter), rows)

    def matcher(self, grammar: str) -> GrammarMatcher:
        """Compile a grammar over bytes."""
        if self._grammar_tokenizer is None:
            self._grammar_tokenizer = GrammarTokenizer(SINGLE_BYTES, None, ())
        return GrammarMatcher(self._grammar_tokenizer, grammar)

    def close(self) -> None:
        """Nothing to free."""


class ScriptedSession:
    """A session whose cache is a list."""

    def __init__(
        self, engine: ScriptedEngine, max_context_len: int, adapter: str | None = None
    ) -> None:
        self._engine = engine
        self._adapter = adapter
        self._tokens: list[int] = []
        self._cached_len = 0
        self._said = b""
        self._said_len = 0
        self._closed = False
        self.max_context_len = max_context_len
        self.prefilled = 0
        """Tokens run through the "model" so far, for tests of what was recomputed."""

    @property
    def tokens(self) -> Sequence[int]:
        """The conversation."""
        return self._tokens

    @property
    def cached_len(self) -> int:
        """How much of it was run."""
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
        """Append at once."""
        self._check_open()
        check_appended(token_ids, len(self._tokens), self.max_context_len, VOCAB_SIZE)
        if should_stop is not None and should_stop():
            raise Cancelled
        self._tokens.extend(token_ids)
        total = len(self._tokens) - self._cached_len
        self._run()
        if on_progress is not None and total:
            on_progress(total, total)

    def _run(self) -> None:
        self.prefilled += len(self._tokens) - self._cached_len
        self._cached_len = len(self._tokens)

    def decode(
        self, params: DecodeParams, *, should_stop: ShouldStop | None = None
    ) -> Iterator[TokenEvent]:
        """Say what the script says, within the grammar."""
        self._check_open()
        if not self._tokens:
            raise EngineError("Nothing was appended yet, so there is nothing to continue.")
        matcher = self._engine.matcher(params.grammar) if params.grammar is not None else None
        engine = self._engine
        reply = engine.reply if self._adapter is None else engine.adapter_replies[self._adapter]
        self._said = reply(engine.decode(self._tokens)).encode()
        self._said_len = 0
        steps = decode_steps(
            self,
            params,
            matcher=matcher,
            eos_ids=(EOS_ID,),
            stream=_ByteStream(),
        )
        return decode_loop(steps, should_stop)

    def next_logits(self) -> Logits:
        """Prefer the script's next byte, then the end of turn, then lower bytes."""
        self._run()
        logits = np.linspace(0.0, -1.0, VOCAB_SIZE, dtype=np.float32)
        logits[EOS_ID] = 1.0
        if self._said_len < len(self._said):
            logits[self._said[self._said_len]] = 2.0
        return logits

    @property
    def drafted_len(self) -> int:
        """Nothing is guessed."""
        return 0

    def accept(self, token_id: int) -> bool:
        """Keep a generated token; the script moves on when it was the one that it preferred."""
        self._tokens.append(token_id)
        if self._said_len < len(self._said) and self._said[self._said_len] == token_id:
            self._said_len += 1
        return False

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        check_rewound(length, len(self._tokens))
        del self._tokens[length:]
        self._cached_len = min(self._cached_len, length)

    def close(self) -> None:
        """Nothing to free."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("The session is closed.")


class _ByteStream:
    """Collects bytes until they are a whole character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def decode(self, token_id: int) -> str:
        """Return the text that this byte completes; control tokens have none."""
        return self._decoder.decode(bytes([token_id])) if token_id < BYTES else ""
