"""What a benchmark and its worker process say to each other: one JSON object a line."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeagent.config.run import EngineConfig
from edgeagent.record.base import Record
from edgeagent.record.bench import CeilingReading, Cell, LoadReading, Reading

MAX_SEED = (1 << 32) - 1


class WorkerJob(Record):
    """What a worker is started with.

    Attributes:
        package: Folder of the package.
        engine: Settings of the runtime.
        seed: Of the random tokens.
        context_len: Tokens of the KV cache, `None` to open it as long as the cells need it.
    """

    package: str
    engine: EngineConfig
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    context_len: int | None = Field(default=None, ge=1)


class WorkerRequest(Record):
    """What a worker is asked to do.

    Attributes:
        action: `load` the package, `measure` a cell or `encode` a text.
        cell: What to measure.
        repeat: Repetitions, at least.
        min_ns: Measured time of all repetitions together, at least.
        text: What to encode.
    """

    action: Literal["load", "measure", "encode"]
    cell: Cell | None = None
    repeat: int = Field(default=1, ge=1)
    min_ns: int = Field(default=0, ge=0)
    text: str = ""


class Loaded(Record):
    """A package is loaded.

    Attributes:
        reading: How long it took and what memory it needs.
        engine: Name of the engine.
        version: Of the runtime.
        ep: Execution provider in use.
        context_len: Longest context of the package.
        vocab_size: Width of the logits.
        kv_bytes_per_token: Computed, `None` if unknown.
        threads: Threads that one operator uses.
    """

    reading: LoadReading
    engine: str
    version: str
    ep: str
    context_len: int
    vocab_size: int
    kv_bytes_per_token: int | None
    threads: int


class WorkerReply(Record):
    """What a worker answers; one field is there.

    Attributes:
        ready: The runtime is imported.
        loaded: Answer to `load`.
        readings: Answer to `measure`.
        token_ids: Answer to `encode`.
        failed: One sentence; the worker ends.
        exhausted: Whether it failed for lack of memory or context.
    """

    ready: bool | None = None
    loaded: Loaded | None = None
    readings: tuple[Reading, ...] | None = None
    token_ids: tuple[int, ...] | None = None
    failed: str | None = None
    exhausted: bool = False


class CeilingJob(Record):
    """What a process that measures the device's limits is started with.

    Attributes:
        threads: As many as the engine uses.
        allow_spinning: As in the engine's settings.
        round: Of the benchmark.
        seed: Of the order of kernels.
    """

    threads: int = Field(ge=1)
    allow_spinning: bool = True
    round: int = 0
    seed: int = 0


class CeilingReply(Record):
    """What it found.

    Attributes:
        readings: Every block.
        cache_bytes: Last-level caches of the machine, `None` if it does not tell.
        notes: Why something was not measured.
        failed: One sentence if nothing was.
    """

    readings: tuple[CeilingReading, ...] = ()
    cache_bytes: int | None = None
    notes: tuple[str, ...] = ()
    failed: str | None = None
