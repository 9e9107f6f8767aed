"""One benchmark as a whole: what was asked for, and everything that was read."""

from __future__ import annotations

from typing import Literal, TypeAlias

from edgeagent.record.base import SCHEMA_VERSION, Record
from edgeagent.record.bench import CeilingReading, Cell, LoadReading, Reading
from edgeagent.record.conditions import HostState, HostWarning
from edgeagent.record.run import HostRecord

PhaseName: TypeAlias = Literal["load", "prefill", "decode"]


class LoadRecord(Record):
    """A load, cold or warm, and the first prompt behind it.

    Attributes:
        round: Of the benchmark, from 0.
        cold: Whether the package's files were dropped from the page cache before; `True` only if
            it was verified that they were gone.
        resident_share: Share of the files' pages that were in the page cache before, `None` if the
            system does not tell.
        load: What loading took.
        first_cell: The first prompt.
        first: How long it took; it pages in what loading left on disk.
    """

    round: int
    cold: bool
    resident_share: float | None = None
    load: LoadReading
    first_cell: Cell
    first: Reading


class CellRecord(Record):
    """The repetitions of one cell in one round, which is one process.

    Attributes:
        round: From 0; every round starts a fresh process.
        order: Position in the whole run, from 0.
        cell: What was measured.
        readings: Every repetition.
        energy_j: Joules from the start of the first repetition to the end of the last one, `None`
            if they were not measured.
    """

    round: int
    order: int
    cell: Cell
    readings: tuple[Reading, ...]
    energy_j: float | None = None


class PhaseRecord(Record):
    """Memory of one phase of a process that loads, prefills and decodes once.

    Attributes:
        phase: `load`, `prefill` or `decode`.
        cell: What ran, `None` for `load`.
        rss_peak_bytes: Peak resident memory of the phase.
        rss_peak_source: `process:rss_peak`, the system's own mark of the phase;
            `process:rss_peak since start` where it cannot be reset; `process:rss` for the largest
            of the samples taken from outside.
        anon_peak_bytes: Largest anonymous part among the samples.
        file_peak_bytes: Largest file-backed part among the samples.
        rss_end_bytes: Resident memory when it ended.
    """

    phase: PhaseName
    cell: Cell | None = None
    rss_peak_bytes: int | None
    rss_peak_source: str
    anon_peak_bytes: int | None = None
    file_peak_bytes: int | None = None
    rss_end_bytes: int | None = None


class ModelSizes(Record):
    """What a model's work and its bytes follow from.

    Attributes:
        layers: Decoder blocks.
        hidden: Width of the residual stream.
        heads: Query heads.
        head_dim: Width of one head.
        vocab: Rows of the head.
        parameters: Weights, shared ones counted once.
        tied: Whether embedding and head are the same weights.
        step_weight_bytes: Bytes of stored weights that one decode step reads: all but those rows
            of a separate embedding table that the token does not name.
        head_rows: Positions of a prefill whose logits are computed: the `last` of each native
            call, or `all`.
        kv_bytes_per_token: Bytes of keys and values per token.
    """

    layers: int
    hidden: int
    heads: int
    head_dim: int
    vocab: int
    parameters: int
    tied: bool
    step_weight_bytes: int
    head_rows: Literal["last", "all"]
    kv_bytes_per_token: int


class BenchConfig(Record):
    """Everything that a figure of a benchmark depends on.

    Attributes:
        model_id: Recipe id or file stem.
        package_sha256: SHA-256 of the package's manifest.
        precision: Short description of the stored weights.
        package_bytes: Size of the package.
        engine: Engine name.
        engine_version: Version of the runtime.
        ep: Execution provider in use.
        threads: Of one operator.
        engine_settings: Spinning, chunk length and so on.
        engine_origin: Which settings were given or tuned.
        context_len: Tokens of the KV cache.
        prompt_lens: Lengths of the prompts.
        depths: Tokens in the cache before decoding.
        new_tokens: Decode steps of one repetition.
        repeat: Rounds, each in a fresh process.
        min_duration_s: Measured time of each cell in all rounds together, at least.
        seed: Of the tokens and of the order.
        edgeagent_version: Version that measured.
        host: The machine.
    """

    model_id: str
    package_sha256: str
    precision: str
    package_bytes: int
    engine: str
    engine_version: str
    ep: str
    threads: int
    engine_settings: dict[str, str | int | float | bool | None]
    engine_origin: str = "default"
    context_len: int
    prompt_lens: tuple[int, ...]
    depths: tuple[int, ...]
    new_tokens: int
    repeat: int
    min_duration_s: float
    seed: int
    edgeagent_version: str
    host: HostRecord


class SpecSheet(Record):
    """What the maker of the device states; no program reaches it.

    Attributes:
        device: Name of the device.
        bandwidth_bytes_per_s: Of main memory, `None` if unknown.
        int8_ops_per_s: Dense operations on 8-bit integers of the processor that was measured,
            `None` if unknown.
    """

    device: str
    bandwidth_bytes_per_s: float | None = None
    int8_ops_per_s: float | None = None


class BenchRecord(Record):
    """One benchmark: what was asked for and everything that was read.

    Attributes:
        schema_version: Version of this record.
        config: What the figures depend on.
        sizes: Of the model, `None` if the package does not tell them.
        started_utc: Wall-clock time, for people.
        complete: Whether all rounds were measured.
        loads: Cold and warm loads.
        memory: Memory of each phase.
        cells: What was measured, in the order in which it was.
        ceilings: The device's own limits, measured in the same rounds.
        cache_bytes: Last-level caches of the machine, `None` if it does not tell.
        spec: The device's limits on paper, `None` if nothing is known.
        energy_source: What the joules were read from and what they cover, `None` without any.
        before: State of the machine before.
        after: State of the machine after all rounds, `None` if the benchmark ended early.
        warnings: What was warned of before.
        notes: What a reader must know, such as why something was not measured.
    """

    schema_version: int = SCHEMA_VERSION
    config: BenchConfig
    sizes: ModelSizes | None
    started_utc: str
    complete: bool
    loads: tuple[LoadRecord, ...] = ()
    memory: tuple[PhaseRecord, ...] = ()
    cells: tuple[CellRecord, ...] = ()
    ceilings: tuple[CeilingReading, ...] = ()
    cache_bytes: int | None = None
    spec: SpecSheet | None = None
    energy_source: str | None = None
    before: HostState | None = None
    after: HostState | None = None
    warnings: tuple[HostWarning, ...] = ()
    notes: tuple[str, ...] = ()
