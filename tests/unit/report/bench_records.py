"""A benchmark whose figures can be computed by hand: two rounds, times in whole milliseconds."""

from __future__ import annotations

from typing import Any

from edgeagent.record.bench import CeilingReading, Cell, LoadReading, MemoryReading, Reading
from edgeagent.record.bench_run import (
    BenchConfig,
    BenchRecord,
    CellRecord,
    LoadRecord,
    ModelSizes,
    PhaseRecord,
    SpecSheet,
)
from edgeagent.record.run import HostRecord

MS = 1_000_000

PROMPT = Cell(kind="prefill", tokens=10)
DECODE = Cell(kind="decode", depth=7, tokens=4)

SIZES = ModelSizes(
    layers=2,
    hidden=8,
    heads=4,
    head_dim=2,
    vocab=100,
    parameters=2000,
    tied=True,
    step_weight_bytes=1_000_000,
    head_rows="last",
    kv_bytes_per_token=1000,
)
CONFIG = BenchConfig(
    model_id="tiny-model",
    package_sha256="a" * 64,
    precision="int4 block 32",
    package_bytes=100 << 20,
    engine="scripted",
    engine_version="1.2.3",
    ep="cpu",
    threads=2,
    engine_settings={"prefill_chunk_len": 8, "allow_spinning": True},
    context_len=12,
    prompt_lens=(10,),
    depths=(7,),
    new_tokens=4,
    repeat=2,
    min_duration_s=0.0,
    seed=1,
    edgeagent_version="0.1.0",
    host=HostRecord(
        os="TestOS 1",
        machine="aarch64",
        cpu="Cortex <X>",
        cores_physical=4,
        cores_usable=4,
        memory_bytes=8 << 30,
        python="3.11.0",
    ),
)


def prompt(prefill_ms: int, ttft_ms: int) -> Reading:
    return Reading(t0_ns=0, t1_ns=ttft_ms * MS, prefill_ns=prefill_ms * MS, ttft_ns=ttft_ms * MS)


def steps(*milliseconds: int) -> Reading:
    return Reading(
        t0_ns=0, t1_ns=sum(milliseconds) * MS, step_ns=tuple(ms * MS for ms in milliseconds)
    )


def cell(round_: int, found: Cell, *readings: Reading, energy_j: float | None = None) -> CellRecord:
    return CellRecord(round=round_, order=0, cell=found, readings=readings, energy_j=energy_j)


def load(*, cold: bool, load_ms: int, ttft_ms: int = 5, share: float | None = None) -> LoadRecord:
    reading = LoadReading(
        t0_ns=0,
        t1_ns=load_ms * MS,
        import_ns=1,
        storage_read_bytes=3_000_000 if cold else 0,
        memory=MemoryReading(),
    )
    return LoadRecord(
        round=0,
        cold=cold,
        resident_share=share,
        load=reading,
        first_cell=PROMPT,
        first=prompt(4, ttft_ms).model_copy(update={"open_ns": 2 * MS}),
    )


def ceiling(kernel: str, round_: int, rate: float) -> CeilingReading:
    """A block of one second."""
    return CeilingReading(
        kernel=kernel, round=round_, threads=2, amount=int(rate), t0_ns=0, t1_ns=1000 * MS
    )


def bench_record(**changes: Any) -> BenchRecord:
    """Round 0 runs at 100 and 50 tok/s, round 1 at half of that, and so do the limits."""
    record = BenchRecord(
        config=CONFIG,
        sizes=SIZES,
        started_utc="2026-01-01T00:00:00+00:00",
        complete=True,
        loads=(
            load(cold=True, load_ms=400, share=0.0),
            load(cold=False, load_ms=100, share=1.0),
            load(cold=False, load_ms=300, share=1.0),
        ),
        memory=(
            PhaseRecord(phase="load", rss_peak_bytes=5_000_000, rss_peak_source="process:rss_peak"),
            PhaseRecord(
                phase="prefill",
                cell=PROMPT,
                rss_peak_bytes=7_000_000,
                rss_peak_source="process:rss_peak",
                anon_peak_bytes=6_000_000,
                file_peak_bytes=1_000_000,
            ),
        ),
        cells=(
            cell(0, PROMPT, prompt(90, 95), prompt(110, 125), energy_j=3.0),
            cell(0, DECODE, steps(10, 10, 20, 20), steps(20, 20, 30, 30), energy_j=1.0),
            cell(1, DECODE, steps(40, 40, 40, 40), energy_j=1.0),
            cell(1, PROMPT, prompt(200, 220), energy_j=6.0),
        ),
        ceilings=(
            *(ceiling("read:a", 0, rate) for rate in (90e6, 100e6, 300e6)),
            *(ceiling("read:a", 1, rate) for rate in (49e6, 50e6, 51e6)),
            *(ceiling("read:b", round_, 40e6) for round_ in (0, 1)),
            *(ceiling("matmul:u8s8", round_, rate) for round_, rate in ((0, 4e6), (1, 2e6))),
            *(ceiling("matmul:s8s8", round_, 1e6) for round_ in (0, 1)),
            *(ceiling("matmul:nbits4", round_, rate) for round_, rate in ((0, 2e6), (1, 1e6))),
        ),
        cache_bytes=500_000,
        spec=SpecSheet(device="Board", bandwidth_bytes_per_s=150e6, int8_ops_per_s=8e6),
        energy_source="a counter (cpu)",
    )
    return record.model_copy(update=changes)
