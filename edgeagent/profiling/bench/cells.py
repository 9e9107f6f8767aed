"""Measuring cells on a loaded engine.

All cells run the same sequence of random tokens, whose beginning stays in the KV cache between
them: a decode at a depth prefills only what is missing, untimed. Tokens are drawn from the whole
vocabulary without control tokens; for a dense decoder the content of a prompt does not change
what is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np

from edgeagent.clock import now_ns
from edgeagent.engine.decoding import Stepper
from edgeagent.engine.protocol import DecodeParams, Engine, Session
from edgeagent.engine.sampling import Sampler
from edgeagent.errors import ResourceError
from edgeagent.record.bench import Cell, MemoryReading, Reading


class PhaseMemory(Protocol):
    """Reads the memory of a phase."""

    def start_phase(self) -> int | None:
        """Begin a phase."""
        ...

    def end_phase(self) -> MemoryReading:
        """Return what it needed."""
        ...


class SteppedSession(Session, Stepper, Protocol):
    """A session that can be driven token by token; every engine of ours makes such ones."""


class CellRunner:
    """Measures cells in one session of an engine."""

    def __init__(
        self,
        engine: Engine,
        *,
        seed: int,
        context_len: int | None = None,
        memory: PhaseMemory | None = None,
    ) -> None:
        """Prepare; the KV cache is allocated when the first cell is measured.

        Args:
            engine: A loaded model.
            seed: Of the random tokens.
            context_len: Tokens of the KV cache; by default as many as the cells need, and the
                session is opened anew when one needs more.
            memory: Reads the memory of each repetition; nothing is read without it.
        """
        self._engine = engine
        self._rng = np.random.default_rng(seed)
        self._allowed = _ordinary_ids(engine)
        self._sequence: list[int] = []
        self._context_len = context_len
        self._memory = memory
        self._session: SteppedSession | None = None
        self._sampler = Sampler(DecodeParams())

    def measure(self, cell: Cell, *, repeat: int = 1, min_ns: int = 0) -> tuple[Reading, ...]:
        """Repeat a cell at least `repeat` times and until `min_ns` of it were measured.

        Raises:
            ResourceError: The package's context or the memory does not hold the cell.
            EngineError: The runtime failed.
        """
        readings: list[Reading] = []
        measured_ns = 0
        while len(readings) < repeat or measured_ns < min_ns:
            reading = self._repetition(cell)
            measured_ns += max(1, reading.t1_ns - reading.t0_ns)
            readings.append(reading)
        return tuple(readings)

    def close(self) -> None:
        """Free the KV cache."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _repetition(self, cell: Cell) -> Reading:
        if self._memory is not None:
            self._memory.start_phase()
        session, open_ns = self._session_for(cell)
        match cell.kind:
            case "prefill":
                reading = self._prefill(session, cell)
            case "decode":
                reading = self._decode(session, cell)
            case "text":
                reading = self._text(session, cell)
        memory = self._memory.end_phase() if self._memory is not None else None
        return reading.model_copy(update={"open_ns": open_ns, "memory": memory})

    def _prefill(self, session: SteppedSession, cell: Cell) -> Reading:
        tokens = self._tokens(cell.depth + cell.tokens)[cell.depth :]
        self._rewind_to_depth(session, cell.depth)
        t0_ns = now_ns()
        session.append(tokens)
        prefilled_ns = now_ns()
        self._sampler.choose(session.next_logits())
        t1_ns = now_ns()
        return Reading(
            t0_ns=t0_ns, t1_ns=t1_ns, prefill_ns=prefilled_ns - t0_ns, ttft_ns=t1_ns - t0_ns
        )

    def _decode(self, session: SteppedSession, cell: Cell) -> Reading:
        """The decode loop of a session, but for the end of a turn and the text of the tokens."""
        first = self._tokens(cell.depth + 1)[cell.depth]
        self._rewind_to_depth(session, cell.depth)
        session.accept(first)
        steps: list[int] = []
        drafted = accepted = 0
        t0_ns = before_ns = now_ns()
        for _ in range(cell.tokens):
            chosen = self._sampler.choose(session.next_logits())
            drafted += session.drafted_len
            accepted += session.accept(chosen)
            t_ns = now_ns()
            steps.append(t_ns - before_ns)
            before_ns = t_ns
        return Reading(
            t0_ns=t0_ns, t1_ns=before_ns, step_ns=tuple(steps), drafted=drafted, accepted=accepted
        )

    def _text(self, session: SteppedSession, cell: Cell) -> Reading:
        session.rewind(0)
        t0_ns = now_ns()
        session.append(cell.prompt)
        prefilled_ns = before_ns = now_ns()
        ttft_ns: int | None = None
        steps: list[int] = []
        said: list[int] = []
        drafted = accepted = 0
        for event in session.decode(DecodeParams(max_new_tokens=cell.tokens)):
            if ttft_ns is None:
                ttft_ns = event.t_ns - t0_ns
            steps.append(event.t_ns - before_ns)
            said.append(event.token_id)
            before_ns = event.t_ns
            drafted += event.drafted
            accepted += event.accepted
        return Reading(
            t0_ns=t0_ns,
            t1_ns=before_ns,
            prefill_ns=prefilled_ns - t0_ns,
            ttft_ns=ttft_ns,
            step_ns=tuple(steps),
            drafted=drafted,
            accepted=accepted,
            token_ids=tuple(said),
        )

    def _rewind_to_depth(self, session: SteppedSession, depth: int) -> None:
        """Leave exactly the first `depth` tokens of the sequence in the cache."""
        wanted = self._tokens(depth)
        held = min(_common_len(session.tokens, wanted), session.cached_len)
        session.rewind(held)
        if held < depth:
            session.append(wanted[held:])

    def _tokens(self, count: int) -> list[int]:
        """Return the first tokens of the sequence, which grows as needed."""
        missing = count - len(self._sequence)
        if missing > 0:
            drawn = self._rng.choice(self._allowed, size=missing)
            self._sequence += [int(token) for token in drawn]
        return self._sequence[:count]

    def _session_for(self, cell: Cell) -> tuple[SteppedSession, int | None]:
        """Return the session, and how long opening it took if it was not open."""
        if self._context_len is not None and cell.context_len > self._context_len:
            raise ResourceError(
                f"{cell.label} needs a context of {cell.context_len} tokens, but the KV cache was "
                f"made for {self._context_len}."
            )
        if self._session is not None and self._session.max_context_len >= cell.context_len:
            return self._session, None
        self.close()
        t0_ns = now_ns()
        session = self._engine.open(self._context_len or cell.context_len)
        self._session = cast("SteppedSession", session)
        return self._session, now_ns() - t0_ns


def _ordinary_ids(engine: Engine) -> Sequence[int]:
    """Token ids of the vocabulary without control tokens."""
    control = {ids[0] for text in engine.control_tokens if len(ids := engine.encode(text)) == 1}
    return [token for token in range(engine.info.vocab_size) if token not in control]


def _common_len(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    for index, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            return index
    return min(len(first), len(second))
