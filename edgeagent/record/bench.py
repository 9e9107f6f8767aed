"""What a benchmark of the raw engine measures, and what one measurement reads.

Nothing here is derived: rates, medians, intervals and utilizations are computed by the report.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeagent.clock import NS_PER_S
from edgeagent.record.base import Record

CellKind = Literal["prefill", "decode", "text"]


class Cell(Record):
    """One thing to measure.

    `prefill` runs `tokens` random tokens behind `depth` others and chooses the token that follows.
    `decode` runs `tokens` single tokens, each chosen from the logits before it, behind `depth`
    others; an end of turn does not stop it. `text` answers `prompt` through the session's own
    decode loop, where n-gram speculation and the end of a turn have their effect.

    Attributes:
        kind: What is measured.
        tokens: Tokens that are prefilled, or at most decoded.
        depth: Tokens in the KV cache before; not part of the measured time.
        prompt: Token ids of a `text` cell.
    """

    kind: CellKind
    tokens: int = Field(ge=1, le=1 << 20)
    depth: int = Field(default=0, ge=0, le=1 << 20)
    prompt: tuple[int, ...] = ()

    @property
    def context_len(self) -> int:
        """Tokens that the KV cache must hold; one more than is run, as the last one is chosen."""
        return self.depth + len(self.prompt) + self.tokens + 1

    @property
    def label(self) -> str:
        """Short name for people: `prefill 128`, `decode at 256`."""
        match self.kind:
            case "prefill":
                return f"prefill {self.tokens}" + (f" at {self.depth}" if self.depth else "")
            case "decode":
                return f"decode at {self.depth}"
            case "text":
                return f"answer to {len(self.prompt)} tokens"


class MemoryReading(Record):
    """Resident memory of the measured process; `None` is what the system does not tell.

    Attributes:
        rss_bytes: At the end of the phase.
        rss_peak_bytes: The system's own high-water mark since the phase began.
        anon_bytes: Anonymous part at the end: prepacked weights, KV cache, activations.
        file_bytes: File-backed part at the end, such as mapped weights, which can be dropped.
        peak_is_of_phase: Whether the mark was reset when the phase began; if not, it covers
            everything since the process started.
    """

    rss_bytes: int | None = None
    rss_peak_bytes: int | None = None
    anon_bytes: int | None = None
    file_bytes: int | None = None
    peak_is_of_phase: bool = False


class Reading(Record):
    """One repetition of a cell, in nanoseconds of the monotonic clock.

    Attributes:
        t0_ns: When the first token was handed to the model.
        t1_ns: When the last token was chosen.
        prefill_ns: Until the prompt was in the cache and its logits known; `None` for `decode`.
        ttft_ns: Until the first token was chosen; `None` for `decode`.
        step_ns: Duration of each step. `decode`: run one token, choose the next. `text`: time
            between two tokens, 0 where several were accepted at once. Empty for `prefill`.
        drafted: Tokens that speculation guessed.
        accepted: Guesses that were right.
        token_ids: The answer of a `text` cell, to see whether two settings say the same.
        open_ns: How long opening the session took before, its KV cache being allocated; `None` if
            it was open already.
        memory: Of the process; the peak is that of this repetition, `None` if not looked at.
    """

    t0_ns: int
    t1_ns: int
    prefill_ns: int | None = None
    ttft_ns: int | None = None
    step_ns: tuple[int, ...] = ()
    drafted: int = 0
    accepted: int = 0
    token_ids: tuple[int, ...] = ()
    open_ns: int | None = None
    memory: MemoryReading | None = None


class LoadReading(Record):
    """One load of a package in a fresh process.

    Attributes:
        t0_ns: Before, the runtime being imported already.
        t1_ns: After; the KV cache is not allocated yet.
        import_ns: How long importing the runtime took before.
        storage_read_bytes: Bytes that the process fetched from storage meanwhile, `None` if the
            system does not tell.
        memory: Of the process, its peak that of the load.
        rss_before_bytes: Resident memory before: interpreter and runtime.
    """

    t0_ns: int
    t1_ns: int
    import_ns: int
    storage_read_bytes: int | None = None
    memory: MemoryReading
    rss_before_bytes: int | None = None

    @property
    def load_ns(self) -> int:
        """How long loading took."""
        return self.t1_ns - self.t0_ns


class CeilingReading(Record):
    """One block of work that only one limit of the device holds back.

    Attributes:
        kernel: `read:...` for a way of reading memory, `matmul:...` for a product of integers.
        round: From 0.
        threads: That worked.
        amount: Bytes read, or operations: a multiplication and an addition are two.
        t0_ns: When the first thread began.
        t1_ns: When the last one ended.
    """

    kernel: str
    round: int
    threads: int
    amount: int
    t0_ns: int
    t1_ns: int

    @property
    def rate(self) -> float:
        """Bytes or operations per second."""
        return self.amount * NS_PER_S / max(1, self.t1_ns - self.t0_ns)
