"""Deriving every figure of a benchmark from what was read."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from edgeagent.clock import to_seconds
from edgeagent.record.bench import Cell
from edgeagent.record.bench_run import BenchRecord, CellRecord, LoadRecord
from edgeagent.report.bench import work
from edgeagent.report.bench.ceilings import INTEGER, KERNEL, READ, Limit, limit
from edgeagent.report.bench.figures import figure
from edgeagent.report.bench.model import BenchSummary, Bound, CellSummary, Figure, LoadSummary

BUSY_SHARE = 0.10
"""Of all processor time; other programs that use more are told of."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """What the cells are held against."""

    bandwidth: Limit | None
    int8: Limit | None
    kernel: Limit | None


def summarize_bench(record: BenchRecord) -> BenchSummary:
    """Derive the figures; intervals are seeded by the record's own seed."""
    config, seed = record.config, record.config.seed
    limits = _Limits(
        bandwidth=limit(record.ceilings, READ, seed),
        int8=limit(record.ceilings, INTEGER, seed),
        kernel=limit(record.ceilings, KERNEL, seed),
    )
    by_cell: dict[Cell, list[CellRecord]] = defaultdict(list)
    for found in record.cells:
        if work.measured_tokens(found.cell, found.readings):
            by_cell[found.cell].append(found)
    ordered = sorted(by_cell, key=lambda cell: (cell.kind != "prefill", cell.depth, cell.tokens))
    cells = tuple(_cell(record, cell, by_cell[cell], limits) for cell in ordered)
    return BenchSummary(
        config=config,
        started_utc=record.started_utc,
        complete=record.complete,
        cells=cells,
        load_cold=_loads([load for load in record.loads if load.cold], seed),
        load_warm=_loads([load for load in record.loads if not load.cold], seed),
        memory=record.memory,
        kv_cache_bytes=None
        if record.sizes is None
        else record.sizes.kv_bytes_per_token * config.context_len,
        bandwidth=limits.bandwidth.summary if limits.bandwidth else None,
        int8_rate=limits.int8.summary if limits.int8 else None,
        kernel_rate=limits.kernel.summary if limits.kernel else None,
        spec=record.spec,
        energy_source=record.energy_source,
        notes=(*record.notes, *_notes(record, cells)),
    )


def _cell(
    record: BenchRecord, cell: Cell, rounds: Sequence[CellRecord], limits: _Limits
) -> CellSummary:
    seed = record.config.seed
    seconds_per_token = {
        found.round: to_seconds(work.measured_ns(cell, found.readings))
        / work.measured_tokens(cell, found.readings)
        for found in rounds
    }
    rates = figure([1 / value for value in seconds_per_token.values()], seed)
    summary = CellSummary(
        cell=cell,
        repetitions=sum(len(found.readings) for found in rounds),
        tok_per_s=rates,
        energy_j_per_token=_joules_per_token(cell, rounds),
    )
    if cell.kind == "decode":
        tpot = figure(list(seconds_per_token.values()), seed)
        summary = summary.model_copy(update={"tpot_s": tpot})
    else:
        summary = summary.model_copy(update={"ttft_s": _ttft(rounds, seed)})
    needed = _needed(record, cell)
    if needed is None or _drafted(rounds):  # a guessed token is not a step of the model
        return summary
    byte_count, op_count = needed

    def share(amount: float, of: Limit | None) -> Figure | None:
        """The part of a limit that is used, each round held against its own limit."""
        if of is None:
            return None
        shares = [
            amount / value / of.by_round[round_]
            for round_, value in seconds_per_token.items()
            if round_ in of.by_round
        ]
        return figure(shares, seed) if shares else None

    spec = record.spec
    bandwidth, int8 = (
        (spec.bandwidth_bytes_per_s, spec.int8_ops_per_s) if spec is not None else (None, None)
    )
    return summary.model_copy(
        update={
            "mbu": share(byte_count, limits.bandwidth),
            "mfu": share(op_count, limits.int8),
            "kernel_share": share(op_count, limits.kernel),
            "mbu_spec": byte_count * rates.median / bandwidth if bandwidth else None,
            "mfu_spec": op_count * rates.median / int8 if int8 else None,
            "bound": _bound(byte_count, op_count, limits),
        }
    )


def _drafted(rounds: Iterable[CellRecord]) -> int:
    """Tokens that speculation guessed."""
    return sum(reading.drafted for found in rounds for reading in found.readings)


def _needed(record: BenchRecord, cell: Cell) -> tuple[float, float] | None:
    """Least bytes and operations per token, `None` if they cannot be computed."""
    sizes = record.sizes
    if sizes is None:
        return None
    if cell.kind == "decode":
        return work.decode_bytes(sizes, cell), work.decode_ops(sizes, cell)
    chunk_len = record.config.engine_settings.get("prefill_chunk_len")
    if cell.kind == "text" or not isinstance(chunk_len, int):
        return None
    total_bytes = work.prefill_bytes(sizes, cell, chunk_len)
    return total_bytes / cell.tokens, work.prefill_ops(sizes, cell, chunk_len) / cell.tokens


def _bound(byte_count: float, op_count: float, limits: _Limits) -> Bound | None:
    if limits.bandwidth is None or limits.int8 is None:
        return None
    reading_s = byte_count / limits.bandwidth.summary.rate.median
    computing_s = op_count / limits.int8.summary.rate.median
    return "memory" if reading_s >= computing_s else "compute"


def _ttft(rounds: Iterable[CellRecord], seed: int) -> Figure | None:
    values = [
        _mean([to_seconds(r.ttft_ns) for r in found.readings if r.ttft_ns is not None])
        for found in rounds
        if any(reading.ttft_ns is not None for reading in found.readings)
    ]
    return figure(values, seed) if values else None


def _joules_per_token(cell: Cell, rounds: Sequence[CellRecord]) -> float | None:
    """Joules of all rounds over their tokens; a round without joules leaves no figure."""
    joules = [found.energy_j for found in rounds if found.energy_j is not None]
    tokens = sum(work.measured_tokens(cell, found.readings) for found in rounds)
    if len(joules) < len(rounds) or not tokens:
        return None
    return math.fsum(joules) / tokens


def _loads(loads: Sequence[LoadRecord], seed: int) -> LoadSummary | None:
    if not loads:
        return None
    read = [load.load.storage_read_bytes for load in loads]
    known = [value for value in read if value is not None]
    return LoadSummary(
        load_s=_over(loads, lambda load: load.load.load_ns, seed),
        first_token_s=_over(loads, _first_token_ns, seed),
        first_prompt_len=loads[0].first_cell.tokens,
        storage_read_bytes=float(median(known)) if known else None,
    )


def _first_token_ns(load: LoadRecord) -> int:
    first = load.first
    return load.load.load_ns + (first.open_ns or 0) + (first.ttft_ns or 0)


def _over(loads: Sequence[LoadRecord], ns: Callable[[LoadRecord], int], seed: int) -> Figure:
    return figure([to_seconds(ns(load)) for load in loads], seed)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _notes(record: BenchRecord, cells: Sequence[CellSummary]) -> Iterable[str]:
    if not record.complete:
        rounds = len({found.round for found in record.cells})
        yield f"The benchmark ended early, in round {rounds} of {record.config.repeat}."
    yield from _of_the_machine(record)
    if drafted := _drafted(record.cells):
        right = sum(r.accepted for found in record.cells for r in found.readings) / drafted
        yield (
            f"Tokens were guessed ahead ({100 * right:.0f} % of the guesses were right). On random "
            "prompts that says nothing about texts, which `edgeagent profile` measures."
        )
    if record.energy_source is not None:
        coarse = [cell.cell.label for cell in cells if cell.energy_j_per_token is None]
        if coarse:
            yield (
                f"The energy of {', '.join(coarse)} is not known: readings failed or were too few; "
                "measure longer with --min-duration."
            )
    sizes, cache = record.sizes, record.cache_bytes
    if sizes is None:
        yield "The package does not tell the sizes of its model, so no utilization is known."
    elif cache is not None and sizes.step_weight_bytes < cache:
        yield (
            "The weights fit the processor's caches, so the memory bandwidth is no limit of this "
            "model."
        )
    if any(
        share is not None and share.median > 1 for cell in cells for share in (cell.mbu, cell.mfu)
    ):
        yield (
            "A utilization above 100 % means that the limit was measured while the machine was "
            "busy, or that caches served a part of the reads."
        )
    if any(
        load.resident_share is not None and load.resident_share < 0.9
        for load in record.loads
        if not load.cold
    ):
        yield "Some warm loads found less than 90 % of the package in the page cache."


def _of_the_machine(record: BenchRecord) -> Iterable[str]:
    for warning in record.warnings:
        yield f"Before: {warning.sentence} {warning.remedy}".rstrip()
    before, after = record.before, record.after
    if before is None or after is None:
        return
    events = sum(
        max(0.0, count - before.throttle_events.get(name, count))
        for name, count in after.throttle_events.items()
    )
    if events:
        yield f"Clocks were throttled during the benchmark ({events:.0f} events)."
    busy = after.other_load_share
    if busy is not None and busy > BUSY_SHARE:
        yield f"After: other programs use {100 * busy:.0f} % of the processor."
