"""The Engine and Session protocols: one loaded model, and one KV cache each session owns.

A session exposes what its cache holds, so what was reused and what was recomputed is countable,
never guessed::

    session = engine.open(max_context_len=1024)
    session.append(engine.encode("The capital of France is"))   # prefill
    for event in session.decode(DecodeParams(max_new_tokens=8)):
        print(event.text, end="")
    session.rewind(5)                                            # keep the first five tokens
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is and what it runs; recorded with every measurement.

    Attributes:
        name: Engine name, such as `genai` or `scripted`.
        version: Version of the runtime.
        ep: The execution provider really used.
        context_len: Longest context the package supports, in tokens.
        vocab_size: Entries of the vocabulary.
        kv_bytes_per_token: Computed KV cache bytes per token, `None` if unknown.
        load_ns: How long loading took.
    """

    name: str
    version: str
    ep: str
    context_len: int
    vocab_size: int
    kv_bytes_per_token: int | None
    load_ns: int


@dataclass(frozen=True, slots=True)
class DecodeParams:
    """How to generate.

    Attributes:
        max_new_tokens: Stop after this many tokens.
        temperature: 0 is greedy.
        top_p: Nucleus of the distribution that is sampled from when `temperature > 0`.
        seed: Seed of the sampler, used when `temperature > 0`.
        stop: Stop as soon as the generated text contains one of these strings. The string is
            part of the last event's text and stays in the cache.
        grammar: Lark grammar (llguidance dialect) that the generated text must follow, or `None`.
        logprobs: Whether events tell how likely the model held its tokens; costs a pass over the
            vocabulary per sampled token.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One generated token.

    Attributes:
        token_id: The token; end-of-turn tokens are neither reported nor kept.
        text: The text that became complete with it, possibly empty inside a UTF-8 sequence.
        t_ns: When it was known, on the monotonic clock.
        forced: Whether the grammar left no choice, so it was appended without a decode step.
        drafted: Guessed tokens, this one's guess first, that were run in the step that chose it.
        accepted: Whether it was guessed right, and so needs no decode step to be run.
        logprob: Natural logarithm of the probability that the model itself gave the token, before
            temperature and grammar; `None` if not asked for, and for forced tokens.
    """

    token_id: int
    text: str
    t_ns: int
    forced: bool = False
    drafted: int = 0
    accepted: bool = False
    logprob: float | None = None


ShouldStop: TypeAlias = Callable[[], bool]
"""Asked between native calls; returning True ends a prefill or a decode early."""

OnProgress: TypeAlias = Callable[[int, int], None]
"""Told the tokens run so far and in all, generated ones that were still to be run included."""


class Session(Protocol):
    """One conversation with its own KV cache; not safe for use by several threads at once."""

    @property
    def tokens(self) -> Sequence[int]:
        """Token ids of the conversation, in order."""
        ...

    @property
    def cached_len(self) -> int:
        """How many of `tokens`, from the first, have their keys and values in the cache.

        The last generated tokens may be missing: they are run together with what comes next.
        """
        ...

    @property
    def max_context_len(self) -> int:
        """Most tokens the cache can hold."""
        ...

    def append(
        self,
        token_ids: Sequence[int],
        *,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        """Prefill: run the tokens through the model, in chunks.

        Raises:
            ResourceError: The tokens do not fit `max_context_len`; nothing was appended.
            Cancelled: `should_stop` returned True; the chunks done so far stay in the cache, and
                of the new tokens only those are kept.
            EngineError: A token is not in the vocabulary, the session is closed, or the runtime
                failed; as with `Cancelled`, what was there before is kept.
        """
        ...

    def decode(
        self, params: DecodeParams, *, should_stop: ShouldStop | None = None
    ) -> Iterator[TokenEvent]:
        """Generate tokens until a limit, a stop string, the grammar's end or an end-of-turn token.

        Every reported token is part of `tokens` when the iterator ends or is closed, and the
        session can be appended to, decoded again or rewound right away.

        Raises:
            EngineError: The grammar is not valid, nothing was appended yet, or the session is
                closed.
        """
        ...

    def rewind(self, length: int) -> None:
        """Keep the first `length` tokens and forget the rest.

        Raises:
            ValueError: `length` is negative or more than there are tokens.
        """
        ...

    def close(self) -> None:
        """Free the cache; idempotent."""
        ...


class SessionGroup(Protocol):
    """Several sessions of one model that decode together, one run of the model for all of them.

    A row is a full session: it is prefilled and rewound by itself, and holds what it likes. Reading
    the weights once for all rows is what makes decoding together cheaper than one after another.
    """

    @property
    def sessions(self) -> Sequence[Session]:
        """The rows."""
        ...

    @property
    def is_batched(self) -> bool:
        """Whether rows really run together; otherwise `decode` takes them in turns."""
        ...

    def fork(self, source: int, target: int) -> None:
        """Make a row hold what another one holds, by copying the part of its cache that differs.

        Raises:
            EngineError: The group is closed.
        """
        ...

    def decode(
        self, requests: Mapping[int, DecodeParams], *, should_stop: ShouldStop | None = None
    ) -> Iterator[tuple[int, TokenEvent | None]]:
        """Generate in these rows until each of them has come to its end, as `Session.decode` does.

        Yields tokens with their row, and `None` when a row has come to its end by itself.

        Args:
            requests: How to generate, by row; rows that are not named stay as they are.
            should_stop: Asked between steps; ends all rows.

        Raises:
            EngineError: As `Session.decode`.
        """
        ...

    def close(self) -> None:
        """Free the caches of all rows; idempotent."""
        ...


class Engine(Protocol):
    """A loaded model with its tokenizer."""

    @property
    def info(self) -> EngineInfo:
        """What runs here."""
        ...

    @property
    def control_tokens(self) -> frozenset[str]:
        """Texts that `encode` turns into control tokens; untrusted text must not contain them."""
        ...

    @property
    def chat_template(self) -> str | None:
        """The model's own jinja2 chat template, `None` if the package has none."""
        ...

    @property
    def chat_tokens(self) -> Mapping[str, str]:
        """Texts of tokens by the names that chat templates have for them, such as `bos_token`."""
        ...

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the LoRA adapters that `open` can activate, sorted."""
        ...

    def encode(self, text: str) -> list[int]:
        """Tokenize; control tokens written as text become control tokens, nothing is added."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of the tokens, control tokens left out."""
        ...

    def open(self, max_context_len: int, adapter: str | None = None) -> Session:
        """Open a session whose cache holds `max_context_len` tokens, allocated at once.

        Args:
            max_context_len: Most tokens that the session can hold.
            adapter: Name of the LoRA adapter that is active in this session, `None` for the model
                alone. It cannot be changed later: keys and values of one adapter are wrong under
                another.

        Raises:
            ResourceError: Longer than the package's context, or not enough memory.
            ValueError: `max_context_len` is not positive.
            EngineError: The engine is closed, or has no adapter of this name.
        """
        ...

    def open_group(
        self, rows: int, max_context_len: int, adapter: str | None = None
    ) -> SessionGroup:
        """Open sessions that decode together; their caches are allocated at once.

        Raises:
            ResourceError: As `open`, for all rows together and what the engine needs beside them.
            ValueError: `rows` or `max_context_len` is not positive.
            EngineError: As `open`.
        """
        ...

    def close(self) -> None:
        """Unload the model; idempotent; sessions must be closed before."""
        ...


class Cancelled(Exception):  # noqa: N818 - control flow, not an error
    """A prefill was stopped on request; finished chunks stay in the cache."""
