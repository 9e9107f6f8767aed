"""The Meter protocol: something that can be read, and says what its value means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from edgeagent.record.samples import Sample, SourceInfo, SourceState


class MeterError(Exception):
    """A reading failed this time (ENODATA, EAGAIN, a vanished file); the interval is unknown."""

    def __init__(self, reason: str, state: SourceState = SourceState.STALE) -> None:
        """Say why, and what it means for the source."""
        super().__init__(reason)
        self.reason = reason
        self.state = state


class Meter(Protocol):
    """One readable source."""

    @property
    def info(self) -> SourceInfo:
        """What is measured; the state is `ok` for a meter that was probed by reading a value."""
        ...

    @property
    def min_interval_s(self) -> float:
        """Shortest time between two reads that is worth their cost, 0 where reads are cheap."""
        ...

    def read(self) -> Sample:
        """Read once.

        Raises:
            MeterError: No value this time; never a zero or a guess instead.
        """
        ...


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found on a machine.

    Attributes:
        meters: Those that gave a value when they were probed.
        sources: Everything that was tried, the meters' own `info` included, each with its state,
            and a reason and a remedy where it cannot be read.
    """

    meters: tuple[Meter, ...]
    sources: tuple[SourceInfo, ...]

    @classmethod
    def union(cls, parts: Iterable[Discovery]) -> Discovery:
        """Join discoveries in order."""
        found = tuple(parts)
        return cls(
            meters=tuple(meter for part in found for meter in part.meters),
            sources=tuple(source for part in found for source in part.sources),
        )
