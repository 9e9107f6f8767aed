"""What a search needs of a device: one piece of work with some settings, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgeagent.config.run import EngineConfig


class UnsuitableError(Exception):
    """Settings cannot be used here; the text says why and ends without a full stop."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One piece of work.

    Attributes:
        cost: Seconds or joules; less is better.
        t0_ns: Start on the monotonic clock.
        t1_ns: Its end.
        parts: Measured pieces by name, in seconds.
        rss_peak_bytes: Largest resident memory, `None` if the system does not tell.
        drafted: Tokens that speculation guessed.
        accepted: Guesses that were right.
    """

    cost: float
    t0_ns: int = 0
    t1_ns: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    rss_peak_bytes: int | None = None
    drafted: int = 0
    accepted: int = 0


class Device(Protocol):
    """Runs the same piece of work with different settings."""

    def measure(self, config: EngineConfig) -> Measured:
        """Do the work once.

        Raises:
            UnsuitableError: These settings cannot be used here.
            EdgeAgentError: The search cannot go on.
        """
        ...

    def renew(self) -> None:
        """Measure in new processes from now on: where memory came to lie is part of the noise."""
        ...


class Replay:
    """A device that first gives what was measured before, as long as the same is asked."""

    def __init__(
        self,
        device: Device,
        measured: Sequence[tuple[EngineConfig, Measured]],
        rejected: Mapping[EngineConfig, str],
    ) -> None:
        """Take up an interrupted search.

        Args:
            device: Measures what was not measured before.
            measured: Settings and what they cost, in the order of the search.
            rejected: Settings that cannot be used, and why.
        """
        self._device = device
        self._measured = list(reversed(measured))
        self._rejected = rejected

    def measure(self, config: EngineConfig) -> Measured:
        """Give what is known, else measure."""
        if config in self._rejected:
            raise UnsuitableError(self._rejected[config])
        if self._measured:
            known, measured = self._measured.pop()
            if known == config:
                return measured
            self._measured.clear()  # the search goes another way from here on
        return self._device.measure(config)

    def renew(self) -> None:
        """Pass on."""
        self._device.renew()
