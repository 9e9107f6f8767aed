"""The joules of what a benchmark measures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from edgeagent.errors import ConfigError
from edgeagent.meter.discover import discover
from edgeagent.profiling.energy_gauge import EnergyGauge
from edgeagent.record.bench import Reading

EnergyBetween: TypeAlias = Callable[[int, int], float | None]
"""Gets two times of the monotonic clock; returns the joules between them, `None` if they were not
measured or the source is too coarse for that time."""

MAX_IDLE_SHARE = 0.01
"""Of a cell's time may lie between repetitions, which is work of another kind."""


class EnergyMeter(Protocol):
    """Reads the energy of this machine while a worker computes."""

    @property
    def source(self) -> str:
        """What is read and what it covers, in words."""
        ...

    def begin(self) -> None:
        """Read before the work."""
        ...

    def poll(self) -> None:
        """Read what is due; called about 50 times a second during the work."""
        ...

    def end(self) -> None:
        """Read after the work."""
        ...

    def joules(self, t0_ns: int, t1_ns: int) -> float | None:
        """Return the energy of a window between `begin` and `end`, `None` if it is not known."""
        ...


def find_energy_meter() -> EnergyMeter | None:
    """Return the meter of the widest total that this device has, `None` if it has none."""
    try:
        return EnergyGauge.find(discover(os.getpid()))
    except ConfigError:
        return None


def energy_of(readings: Sequence[Reading], energy_between: EnergyBetween) -> float | None:
    """Return the joules of the repetitions of a cell, `None` if any part is not known.

    One window where they follow each other without a break: it is as exact as the source allows,
    while short ones may be below its resolution.

    Args:
        readings: Repetitions in order.
        energy_between: Asked for one window or for one each.
    """
    if not readings:
        return None
    t0_ns, t1_ns = readings[0].t0_ns, readings[-1].t1_ns
    measured_ns = sum(reading.t1_ns - reading.t0_ns for reading in readings)
    if measured_ns >= (1 - MAX_IDLE_SHARE) * (t1_ns - t0_ns):
        return energy_between(t0_ns, t1_ns)
    parts = [energy_between(reading.t0_ns, reading.t1_ns) for reading in readings]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
