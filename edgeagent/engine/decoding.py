"""The decode loop that every engine shares: grammar, sampling, stop strings, end of turn.

An engine contributes three things: logits for the next position, a way to accept a token, and a
detokenizer. That keeps the rules in one place:

- An accepted token is part of the conversation at once; the engine runs it through the model
  together with whatever comes next, so no position of the cache is ever left empty.
- Tokens that the grammar forces are accepted without asking the model.

`decode_steps` pauses before it asks for logits, so a group can first run several sessions at once;
`decode_loop` takes the pauses out for a session by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from edgeagent.clock import now_ns
from edgeagent.engine.grammar import GrammarMatcher
from edgeagent.engine.protocol import DecodeParams, ShouldStop, TokenEvent
from edgeagent.engine.sampling import Logits, Sampler, log_probability


class TextStream(Protocol):
    """Turns tokens into text as it becomes complete."""

    def decode(self, token_id: int) -> str:
        """Return the text that this token completes, possibly empty."""
        ...


class Stepper(Protocol):
    """What the decode loop needs of a session."""

    @property
    def room(self) -> int:
        """Tokens that still fit the cache."""
        ...

    def next_logits(self) -> Logits:
        """Run what was accepted and not yet run; return the logits `(vocab,)` that follow."""
        ...

    @property
    def drafted_len(self) -> int:
        """Guessed tokens that the last call of `next_logits` ran, 0 without speculation."""
        ...

    def accept(self, token_id: int) -> bool:
        """Make the token part of the conversation; return whether it was run already, as a guess.

        Such a token was guessed right by speculation.
        """
        ...


def decode_steps(
    stepper: Stepper,
    params: DecodeParams,
    *,
    matcher: GrammarMatcher | None,
    eos_ids: Collection[int],
    stream: TextStream,
) -> Iterator[TokenEvent | None]:
    """Yield tokens until a limit, a stop string, the grammar's end or an end-of-turn token.

    `None` is yielded each time before logits are asked for.
    """
    sampler = Sampler(params)
    tail = _StopScanner(params.stop)
    generated = 0
    while generated < params.max_new_tokens and stepper.room > 0:
        limit = min(params.max_new_tokens - generated, stepper.room)
        # Only a grammar can force tokens; with none there is exactly one to choose.
        chosen = _before_eos(matcher.forced()[:limit] if matcher else [], eos_ids)
        is_forced = bool(chosen)
        drafted = 0
        logprob = None
        if not is_forced:
            if matcher and matcher.finished:
                return
            yield None
            logits = stepper.next_logits()
            drafted = stepper.drafted_len
            chosen = [sampler.choose(matcher.mask(logits) if matcher else logits)]
            if chosen[0] in eos_ids:
                return
            if params.logprobs:
                logprob = log_probability(logits, chosen[0])
        if matcher:
            matcher.consume(chosen)
        generated += len(chosen)
        t_ns = now_ns()
        for token_id in chosen:
            # One by one: a caller that stops early leaves nothing behind that it was not told.
            accepted = stepper.accept(token_id)
            text = stream.decode(token_id)
            if not text and matcher:
                # Markup that the grammar asked for is part of the turn, also where the tokenizer
                # counts it among the tokens that are not shown.
                text = matcher.markup_text(token_id)
            yield TokenEvent(
                token_id=token_id,
                text=text,
                t_ns=t_ns,
                forced=is_forced,
                drafted=drafted,
                accepted=accepted,
                logprob=logprob,
            )
            if tail.found(text):
                return


def decode_loop(
    steps: Iterator[TokenEvent | None], should_stop: ShouldStop | None
) -> Iterator[TokenEvent]:
    """Yield the tokens of `decode_steps`; `should_stop` is asked before each run of the model."""
    for event in steps:
        if event is not None:
            yield event
        elif should_stop is not None and should_stop():
            return


def _before_eos(token_ids: list[int], eos_ids: Collection[int]) -> list[int]:
    for index, token_id in enumerate(token_ids):
        if token_id in eos_ids:
            return token_ids[:index]
    return token_ids


class _StopScanner:
    """Finds stop strings in streamed text, also across tokens."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._keep = max((len(text) for text in stop), default=0)
        self._tail = ""

    def found(self, text: str) -> bool:
        if not self._stop:
            return False
        window = self._tail + text
        self._tail = window[-self._keep :]
        return any(stop in window for stop in self._stop)
