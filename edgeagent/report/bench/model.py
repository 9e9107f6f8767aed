"""The derived figures of a benchmark."""

from __future__ import annotations

from typing import Literal

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.bench import Cell
from edgeagent.record.bench_run import BenchConfig, PhaseRecord, SpecSheet
from edgeagent.report.model import Interval

Bound = Literal["memory", "compute"]


class Figure(Record):
    """A quantity over the rounds of a benchmark.

    Attributes:
        n: Rounds.
        median: Over rounds.
        mean: Over rounds.
        interval: 95 % bootstrap interval of the mean, `None` for fewer than two rounds.
    """

    n: int
    median: float
    mean: float
    interval: Interval | None = None


class CellSummary(Record):
    """One cell over all rounds; a round's value is over all of its repetitions.

    Attributes:
        cell: What was measured.
        repetitions: In all rounds together.
        tok_per_s: Tokens per second.
        ttft_s: From the first token of the prompt to the choice of the next; `None` for a decode.
        tpot_s: Time per decoded token; `None` for a prefill.
        mbu: Least bytes that must be read, over time and measured memory bandwidth.
        mfu: Least operations that must be computed, over time and measured rate of 8-bit products.
        kernel_share: The same over the rate of the runtime's own quantized kernel.
        mbu_spec: `mbu` with the bandwidth on paper, from medians.
        mfu_spec: `mfu` with the rate on paper, from medians.
        bound: What takes longer at the measured limits, reading or computing.
        energy_j_per_token: Joules per token, `None` if not measured in every round.
    """

    cell: Cell
    repetitions: int
    tok_per_s: Figure
    ttft_s: Figure | None = None
    tpot_s: Figure | None = None
    mbu: Figure | None = None
    mfu: Figure | None = None
    kernel_share: Figure | None = None
    mbu_spec: float | None = None
    mfu_spec: float | None = None
    bound: Bound | None = None
    energy_j_per_token: float | None = None

    @property
    def limit_share(self) -> Figure | None:
        """How close to the measured limit that holds it back."""
        return {"memory": self.mbu, "compute": self.mfu, None: None}[self.bound]


class CeilingSummary(Record):
    """A limit of the device, over all rounds.

    Attributes:
        kernel: What reached it.
        rate: Bytes or operations per second; a round's value is the median of its blocks.
    """

    kernel: str
    rate: Figure


class LoadSummary(Record):
    """Loads of one kind.

    Attributes:
        load_s: Loading, the runtime being imported already.
        first_token_s: Loading, opening a session and the first, shortest prompt.
        first_prompt_len: Its length.
        storage_read_bytes: Median of what loading fetched from storage, `None` if not told.
    """

    load_s: Figure
    first_token_s: Figure
    first_prompt_len: int
    storage_read_bytes: float | None = None


class BenchSummary(Record):
    """What a benchmark says.

    Attributes:
        schema_version: Version of this record.
        config: What the figures depend on.
        started_utc: Wall-clock time, for people.
        complete: Whether all rounds were measured.
        cells: Prefills by length, decodes by depth.
        load_cold: Loads from storage, `None` if none was verified to be one.
        load_warm: Loads from the page cache.
        memory: Peaks by phase.
        kv_cache_bytes: Computed size of the KV cache, `None` if unknown.
        bandwidth: Fastest reading of memory.
        int8_rate: Fastest product of 8-bit integers.
        kernel_rate: Fastest product of the runtime's kernel for quantized weights.
        spec: The device's limits on paper.
        energy_source: What the joules were read from and what they cover.
        notes: What a reader must know.
    """

    schema_version: int = SCHEMA_VERSION
    config: BenchConfig
    started_utc: str
    complete: bool
    cells: tuple[CellSummary, ...]
    load_cold: LoadSummary | None = None
    load_warm: LoadSummary | None = None
    memory: tuple[PhaseRecord, ...] = ()
    kv_cache_bytes: int | None = None
    bandwidth: CeilingSummary | None = None
    int8_rate: CeilingSummary | None = None
    kernel_rate: CeilingSummary | None = None
    spec: SpecSheet | None = None
    energy_source: str | None = None
    notes: tuple[str, ...] = ()
