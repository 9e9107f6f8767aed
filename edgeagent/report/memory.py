"""Memory in detail: by phase, by kind of page, and what was predicted against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pydantic import Field

from edgeagent.record.base import Record
from edgeagent.record.memory import MemoryPrediction
from edgeagent.record.run import ColdRecord
from edgeagent.report.sessions import SampleSession

PHASES = ("start", "import", "load", "warm_up", "prefill", "decode", "tool", "orchestrate", "rest")
"""In the order in which a process goes through them."""

_LABELS = {
    "start": "interpreter",
    "import": "import",
    "load": "load",
    "warm_up": "open caches, prefixes",
    "prefill": "prefill",
    "decode": "decode",
    "tool": "tool",
}
"""Phases that tables show; `orchestrate` and `rest` hold what the phases around them hold."""


_NO_SUCH_PHASE = "\N{EN DASH}"
"""A base model runs no tool: there was nothing to measure."""


class PhaseBytes(Record):
    """Memory of one phase, in bytes; `None` is not measured.

    Attributes:
        rss_peak_bytes: Largest resident set while it ran.
        rss_anon_bytes: Largest anonymous part at its edges.
        rss_file_bytes: Largest file-backed part at its edges.
    """

    rss_peak_bytes: int | None = None
    rss_anon_bytes: int | None = None
    rss_file_bytes: int | None = None


class MemoryDetail(Record):
    """Memory of the process that ran one paradigm alone.

    Attributes:
        phases: By phase in the order of `PHASES`, those that occurred.
        pss_bytes: At the end; shared pages divided among those who share them.
        uss_bytes: At the end; pages that no other process shares.
        swap_peak_bytes: Largest part that was swapped out.
        kv_cache_bytes: Computed size of the KV caches that were opened.
        predicted: What was predicted before loading.
        rss_peak_bytes: Measured peak.
        predicted_ratio: Predicted over measured peak; 1.1 is ten percent too much.
    """

    phases: dict[str, PhaseBytes] = Field(default_factory=dict)
    pss_bytes: int | None = None
    uss_bytes: int | None = None
    swap_peak_bytes: int | None = None
    kv_cache_bytes: int | None = None
    predicted: MemoryPrediction | None = None
    rss_peak_bytes: int | None = None
    predicted_ratio: float | None = None


def memory_detail(cold: ColdRecord) -> MemoryDetail:
    """Derive the details from a cold start; a record of an older version has few of them."""
    peak, anon, file = (
        cold.rss_peak_by_phase_bytes,
        cold.rss_anon_by_phase_bytes,
        cold.rss_file_by_phase_bytes,
    )
    names = {*peak, *anon, *file}
    ratio = None
    if cold.predicted is not None and cold.rss_peak_bytes:
        ratio = cold.predicted.rss_peak_bytes / cold.rss_peak_bytes
    return MemoryDetail(
        phases={
            name: PhaseBytes(
                rss_peak_bytes=peak.get(name),
                rss_anon_bytes=anon.get(name),
                rss_file_bytes=file.get(name),
            )
            for name in (*PHASES, *sorted(names - set(PHASES)))
            if name in names
        },
        pss_bytes=cold.pss_bytes,
        uss_bytes=cold.uss_bytes,
        swap_peak_bytes=cold.swap_peak_bytes,
        kv_cache_bytes=cold.kv_cache_bytes,
        predicted=cold.predicted,
        rss_peak_bytes=cold.rss_peak_bytes,
        predicted_ratio=ratio,
    )


def memory_rows(
    details: Sequence[MemoryDetail | None], *, megabytes: Callable[[float | None], str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the rows of a table, a label and one cell per paradigm; empty rows are left out.

    Args:
        details: One per paradigm, `None` where it was not measured alone.
        megabytes: Writes bytes as text.
    """
    rows: list[tuple[str, tuple[str, ...]]] = []

    def add(label: str, values: Sequence[float | None]) -> None:
        if any(value is not None for value in values):
            rows.append((label, tuple(megabytes(value) for value in values)))

    def each(read: Callable[[MemoryDetail], float | None]) -> list[float | None]:
        return [None if detail is None else read(detail) for detail in details]

    for phase, label in _LABELS.items():
        peaks = each(partial(_peak, phase))
        if any(peak is not None for peak in peaks):
            cells = (
                _NO_SUCH_PHASE if peak is None and detail and detail.phases else megabytes(peak)
                for peak, detail in zip(peaks, details, strict=True)
            )
            rows.append((f"  peak in {label}", tuple(cells)))
    add("  PSS at the end", each(lambda detail: detail.pss_bytes))
    add("  USS at the end", each(lambda detail: detail.uss_bytes))
    swapped = each(lambda detail: detail.swap_peak_bytes)
    if any(swapped):
        add("  swapped out", swapped)
    add("  predicted peak", each(lambda d: d.predicted.rss_peak_bytes if d.predicted else None))
    ratios = each(lambda detail: detail.predicted_ratio)
    if any(ratio is not None for ratio in ratios):
        rows.append(("  predicted / measured", tuple(_ratio(ratio) for ratio in ratios)))
    return tuple(rows)


def gpu_peak_bytes(sessions: Sequence[SampleSession]) -> dict[str, float]:
    """Return the largest reading of each source of GPU memory of its own; never added up.

    Where the GPU uses the system's memory (Jetson) there is no such source: it is in the resident
    memory already.
    """
    peaks: dict[str, float] = {}
    for session in sessions:
        for info in session.sources:
            if info.quantity == "gpu_memory_bytes":
                for sample in session.samples.get(info.source, ()):
                    peaks[info.source] = max(sample.value, peaks.get(info.source, sample.value))
    return peaks


def prediction_parts(prediction: MemoryPrediction) -> Mapping[str, int]:
    """Return the parts of a prediction by their names for people, in bytes."""
    return {
        "runtime and agents": prediction.runtime_bytes,
        "weights, packed": prediction.weights_bytes,
        "tokenizer": prediction.tokenizer_bytes,
        "grammars": prediction.grammar_bytes,
        "KV caches": prediction.kv_cache_bytes,
        "activations": prediction.activations_bytes,
    }


def _peak(phase: str, detail: MemoryDetail) -> int | None:
    found = detail.phases.get(phase)
    return None if found is None else found.rss_peak_bytes


def _ratio(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.2f}"
