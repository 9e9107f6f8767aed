"""Peak memory of each phase of this process, from its own high-water mark.

Linux keeps the largest resident set of a process (VmHWM) and starts it anew on request
(`Documentation/filesystems/proc.rst`, `clear_refs`). At every edge of a phase the mark so far
belongs to the phase that was running, and is then started anew. Nothing between two looks is
missed, unlike with samples; only what another thread does between looking and starting anew is.

An edge reads one small file and writes another, which takes a fraction of a millisecond: right for
a worker whose memory is measured, not for a process whose time is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edgeagent.meter.memory.process import own_memory, reset_rss_peak
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.spans import SpanKind

_PEAK, _ANON, _FILE = "VmHWM", "RssAnon", "RssFile"


@dataclass(frozen=True, slots=True)
class PhaseMemory:
    """Memory by phase, in bytes; a phase that the system told nothing about is not in it.

    Attributes:
        rss_peak_bytes: Largest resident set while the phase ran.
        rss_anon_bytes: Largest anonymous part at an edge of the phase.
        rss_file_bytes: Largest file-backed part at an edge of the phase.
    """

    rss_peak_bytes: dict[str, int] = field(default_factory=dict)
    rss_anon_bytes: dict[str, int] = field(default_factory=dict)
    rss_file_bytes: dict[str, int] = field(default_factory=dict)


class PhasePeaks:
    """Attributes the high-water mark to the innermost phase that runs.

    It is an `EdgeListener`: given to a task, every span is a phase of its kind. `phase` does the
    same for a block of code. What runs in no phase belongs to `rest`.
    """

    rest = "rest"

    def __init__(self, tree: SystemTree = THIS_MACHINE, first: str = rest) -> None:
        """Start; what was needed since the process began belongs to the phase `first`."""
        self._tree = tree
        self._phases = [self.rest]
        self._found = PhaseMemory()
        self._marks_are_of_phases = True
        self._settle(first)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block as the phase `name`."""
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    def on_edge(self, kind: SpanKind, *, entering: bool) -> None:
        """Enter or leave the phase of a span."""
        if entering:
            self._enter(kind.value)
        else:
            self._leave()

    def result(self) -> PhaseMemory:
        """Return what was found so far."""
        self._settle(self._phases[-1])
        return self._found

    def _enter(self, name: str) -> None:
        self._settle(self._phases[-1])
        self._phases.append(name)

    def _leave(self) -> None:
        self._settle(self._phases[-1])
        if len(self._phases) > 1:
            self._phases.pop()

    def _settle(self, phase: str) -> None:
        """Attribute what happened since the last edge, and start the mark anew."""
        try:
            values = own_memory(self._tree)
        except (OSError, ValueError):
            return
        _raise_to(self._found.rss_anon_bytes, phase, values.get(_ANON))
        _raise_to(self._found.rss_file_bytes, phase, values.get(_FILE))
        if not self._marks_are_of_phases:
            return
        if not reset_rss_peak(self._tree):
            # From here on the mark would be that of all phases before, so no phase gets one.
            self._marks_are_of_phases = False
            self._found.rss_peak_bytes.clear()
            return
        _raise_to(self._found.rss_peak_bytes, phase, values.get(_PEAK))


def _raise_to(largest: dict[str, int], phase: str, value: float | None) -> None:
    if value is not None:
        largest[phase] = max(largest.get(phase, 0), int(value))
