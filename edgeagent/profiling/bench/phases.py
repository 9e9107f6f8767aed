"""Memory of a fresh process that loads a package, prefills the longest prompt and decodes.

Peaks are the system's own high-water marks, reset between the phases. Their anonymous and
file-backed parts have no mark; these are the largest of the samples that this process takes
from outside, which is why no time of this pass is reported.
"""

from __future__ import annotations

from edgeagent.meter.memory.process import discover_process
from edgeagent.meter.protocol import Meter, MeterError
from edgeagent.profiling.bench.client import BenchWorker
from edgeagent.record.bench import Cell, MemoryReading
from edgeagent.record.bench_run import PhaseName, PhaseRecord

_RSS, _PEAK = "process:rss", "process:rss_peak"
_ANON, _FILE = "process:rss_anon", "process:rss_file"


def measure_load(worker: BenchWorker) -> PhaseRecord:
    """Load the worker's package and return the memory that it took."""
    watch = _Watch(worker.pid)
    loaded = worker.load(meanwhile=watch.poll)
    return watch.record("load", None, loaded.reading.memory)


def measure_phase(worker: BenchWorker, cell: Cell) -> PhaseRecord:
    """Run a cell in a loaded worker and return the memory that it took."""
    watch = _Watch(worker.pid)
    reading = worker.measure(cell, meanwhile=watch.poll)
    phase: PhaseName = "prefill" if cell.kind == "prefill" else "decode"
    return watch.record(phase, cell, reading.memory or MemoryReading())


class _Watch:
    """Samples the memory of a process from outside and keeps the largest values."""

    def __init__(self, pid: int) -> None:
        wanted = {_RSS, _ANON, _FILE}
        self._meters: list[Meter] = [
            meter for meter in discover_process(pid).meters if meter.info.source in wanted
        ]
        self._largest: dict[str, float] = {}
        self.poll()

    def poll(self) -> None:
        for meter in self._meters:
            try:
                value = meter.read().value
            except MeterError:
                continue
            source = meter.info.source
            self._largest[source] = max(value, self._largest.get(source, value))

    def record(self, phase: PhaseName, cell: Cell | None, own: MemoryReading) -> PhaseRecord:
        self.poll()
        peak, source = own.rss_peak_bytes, _PEAK
        if peak is None:
            peak, source = self._whole(_RSS, own.rss_bytes), _RSS
        elif not own.peak_is_of_phase:
            source = f"{_PEAK} since start"
        return PhaseRecord(
            phase=phase,
            cell=cell,
            rss_peak_bytes=peak,
            rss_peak_source=source,
            anon_peak_bytes=self._whole(_ANON, own.anon_bytes),
            file_peak_bytes=self._whole(_FILE, own.file_bytes),
            rss_end_bytes=own.rss_bytes,
        )

    def _whole(self, source: str, own: int | None) -> int | None:
        """The largest of the samples and what the process saw itself at the end."""
        values = [value for value in (self._largest.get(source), own) if value is not None]
        return int(max(values)) if values else None
