"""What a worker process reads about itself around each phase: memory and bytes from storage."""

from __future__ import annotations

from pathlib import Path

from edgeagent.meter.memory.process import discover_process, reset_rss_peak
from edgeagent.meter.protocol import Meter, MeterError
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.bench import MemoryReading

_RSS, _PEAK = "process:rss", "process:rss_peak"
_ANON, _FILE = "process:rss_anon", "process:rss_file"
_WANTED = frozenset({_RSS, _PEAK, _ANON, _FILE})


class OwnMemory:
    """Resident memory of this process, phase by phase."""

    def __init__(self, pid: int, tree: SystemTree = THIS_MACHINE) -> None:
        """Find out what the system tells about the process `pid`, which is this one."""
        self._tree = tree
        self._meters: dict[str, Meter] = {
            meter.info.source: meter
            for meter in discover_process(pid, tree).meters
            if meter.info.source in _WANTED
        }
        self._reset = False

    def start_phase(self) -> int | None:
        """Start the high-water mark anew where that is possible; return resident bytes."""
        self._reset = reset_rss_peak(self._tree)
        return self._read(_RSS)

    def end_phase(self) -> MemoryReading:
        """Return what the phase needed."""
        peak = self._read(_PEAK)
        return MemoryReading(
            rss_bytes=self._read(_RSS),
            rss_peak_bytes=peak,
            anon_bytes=self._read(_ANON),
            file_bytes=self._read(_FILE),
            peak_is_of_phase=self._reset and peak is not None,
        )

    def _read(self, source: str) -> int | None:
        meter = self._meters.get(source)
        if meter is None:
            return None
        try:
            return int(meter.read().value)
        except MeterError:
            return None


def storage_read_bytes(tree: SystemTree = THIS_MACHINE) -> int | None:
    """Return the bytes that this process made the system fetch from storage, `None` if unknown.

    `read_bytes` of `/proc/self/io` (Linux `Documentation/filesystems/proc.rst`); pages that are
    faulted in from mapped files count, what the page cache already holds does not.
    """
    path: Path = tree.proc / "self" / "io"
    try:
        lines = tree.read(path).splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == "read_bytes" and value.strip().isdigit():
            return int(value)
    return None
