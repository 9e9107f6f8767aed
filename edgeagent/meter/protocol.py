"""The Meter protocol: something that can be read, and says what its value means."""

from __future__ import annotations

from typing import Protocol

from edgeagent.record.samples import Sample, SourceInfo


class MeterError(Exception):
    """A reading failed this time (ENODATA, EAGAIN, a vanished file); the interval is unknown."""


class Meter(Protocol):
    """One readable source."""

    @property
    def info(self) -> SourceInfo:
        """What is measured; the state is `ok` for a meter that was probed by reading a value."""
        ...

    def read(self) -> Sample:
        """Read once.

        Raises:
            MeterError: No value this time; never a zero or a guess instead.
        """
        ...
