"""The tables and sentences of a benchmark as text, shared by all renderers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.report import format as fmt
from edgeagent.report.bench.model import BenchSummary, CeilingSummary, CellSummary, Figure

NONE = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of texts.

    Attributes:
        head: Name of each column; all but the first are aligned to the right.
        rows: As many cells each.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def title(summary: BenchSummary) -> str:
    """Return what was measured on what, in one line."""
    config = summary.config
    return fmt.plain(
        f"{config.model_id} ({config.precision}, {fmt.megabytes(config.package_bytes)}) on "
        f"{config.host.cpu}, {config.ep}, {_count(config.threads, 'thread')}, KV cache for "
        f"{config.context_len} tokens, {config.engine} {config.engine_version}"
    )


def tables(summary: BenchSummary) -> tuple[TextTable, ...]:
    """Return speed, loads, memory and limits."""
    found = (_speed(summary), _loads(summary), _memory(summary), _limits(summary))
    return tuple(table for table in found if table.rows)


def sentences(summary: BenchSummary) -> tuple[str, ...]:
    """Return how close to the limits the model runs, in words."""
    prefills = [cell for cell in summary.cells if cell.cell.kind == "prefill"]
    decodes = [cell for cell in summary.cells if cell.cell.kind == "decode"]
    return tuple(
        sentence
        for cell in (*decodes[:1], *decodes[1:][-1:], *prefills[-1:])
        for sentence in _closeness(cell)
    )


def notes(summary: BenchSummary) -> tuple[str, ...]:
    """Return what a reader must know, energy first."""
    energy = (
        f"Energy is of {summary.energy_source}."
        if summary.energy_source
        else "Energy was not measured; `edgeagent doctor` says which sensors are missing."
    )
    return (energy, *summary.notes)


def _speed(summary: BenchSummary) -> TextTable:
    head = ("Test", "tok/s", "95 % of mean", "TTFT", "TPOT", "MBU", "MFU", "of kernel", "J/token")
    return TextTable(head, tuple(_speed_row(cell) for cell in summary.cells))


def _speed_row(found: CellSummary) -> tuple[str, ...]:
    joules = found.energy_j_per_token
    return (
        found.cell.label,
        fmt.number(found.tok_per_s.median),
        _interval(found.tok_per_s),
        fmt.seconds(found.ttft_s.median) if found.ttft_s else NONE,
        fmt.seconds(found.tpot_s.median) if found.tpot_s else NONE,
        _share(found.mbu),
        _share(found.mfu),
        _share(found.kernel_share),
        NONE if joules is None else fmt.number(joules),
    )


def _loads(summary: BenchSummary) -> TextTable:
    head = ("Load", "median", "95 % of mean", "to first token", "from storage")
    rows = []
    for label, load in (("cold", summary.load_cold), ("warm", summary.load_warm)):
        if load is not None:
            rows.append(
                (
                    label,
                    fmt.seconds(load.load_s.median),
                    _with_unit(_interval(load.load_s), "s"),
                    fmt.seconds(load.first_token_s.median),
                    fmt.megabytes(load.storage_read_bytes),
                )
            )
    return TextTable(head, tuple(rows))


def _memory(summary: BenchSummary) -> TextTable:
    head = ("Memory", "peak RSS", "anonymous", "file-backed")
    rows = [
        (
            _capital(phase.cell.label if phase.cell else phase.phase),
            fmt.megabytes(phase.rss_peak_bytes),
            fmt.megabytes(phase.anon_peak_bytes),
            fmt.megabytes(phase.file_peak_bytes),
        )
        for phase in summary.memory
    ]
    if summary.kv_cache_bytes is not None:
        rows.append(("KV cache, computed", fmt.megabytes(summary.kv_cache_bytes), NONE, NONE))
    return TextTable(head, tuple(rows))


def _limits(summary: BenchSummary) -> TextTable:
    spec = summary.spec
    stated_bandwidth = spec.bandwidth_bytes_per_s if spec else None
    stated_rate = spec.int8_ops_per_s if spec else None
    rows = (
        _limit("Memory, read", summary.bandwidth, "GB/s", stated_bandwidth),
        _limit("8-bit products", summary.int8_rate, "Gop/s", stated_rate),
        _limit("Quantized kernel", summary.kernel_rate, "Gop/s", None),
    )
    head = ("Limit of the device", "measured", "95 % of mean", "by", "on paper")
    return TextTable(head, tuple(row for row in rows if row is not None))


def _limit(
    label: str, found: CeilingSummary | None, unit: str, stated: float | None
) -> tuple[str, ...] | None:
    paper = NONE if stated is None else f"{fmt.number(stated / 1e9)} {unit}"
    if found is None:
        return None if stated is None else (label, fmt.NOT_MEASURED, NONE, NONE, paper)
    measured = f"{fmt.number(found.rate.median / 1e9)} {unit}"
    interval = _with_unit(_interval(found.rate, 1e-9), unit)
    return label, measured, interval, found.kernel, paper


def _closeness(found: CellSummary) -> Iterator[str]:
    share, rate = found.limit_share, found.tok_per_s.median
    if share is None:
        return
    what = _capital(found.cell.label)
    limit = "memory bandwidth" if found.bound == "memory" else "rate of 8-bit products"
    text = f"{what} runs at {fmt.number(rate)} tok/s, {_share(share)} of what the measured {limit}"
    text += " allows"
    spec = found.mbu_spec if found.bound == "memory" else found.mfu_spec
    if spec is not None:
        text += f" ({fmt.percent(spec)} of what is stated for the device)"
    if found.bound == "compute" and found.kernel_share is not None:
        text += f", and {_share(found.kernel_share)} of what the runtime's kernel does alone"
    yield f"{text}."


def _share(share: Figure | None) -> str:
    return NONE if share is None else fmt.percent(share.median)


def _interval(found: Figure, scale: float = 1.0) -> str:
    if found.interval is None:
        return NONE
    low, high = found.interval.low * scale, found.interval.high * scale
    return f"{fmt.number(low)}{NONE}{fmt.number(high)}"


def _with_unit(interval: str, unit: str) -> str:
    return interval if interval == NONE else f"{interval} {unit}"


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
