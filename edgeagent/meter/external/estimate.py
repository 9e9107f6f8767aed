"""A stand-in for a power meter, only when asked for: estimates from how busy the cores are.

`--allow-estimates --idle-w X --max-w Y` says that the user wants it and what the device draws. What
is read here is real, the busy share of all cores since the reading before; what is made of it
is a guess, so its kind is `estimated`, its quantity `power_estimate_w`, and it is part of no total;
its bounds are sources of their own. See `edgeagent.record.estimate` for the model and its bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import psutil
from pydantic import ValidationError

from edgeagent.errors import ConfigError
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import Pace, Snapshot, SnapshotMeter
from edgeagent.record.estimate import HIGH_QUANTITY, LOW_QUANTITY, QUANTITY, EstimateLimits
from edgeagent.record.samples import SampleKind, Scope, SourceInfo

SOURCES = {
    "estimate:power": QUANTITY,
    "estimate:low": LOW_QUANTITY,
    "estimate:high": HIGH_QUANTITY,
}
"""What the model says, and its bounds."""

INTERVAL_S = 0.5
"""The system counts processor time in steps of 10 ms or more."""


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Processor time of all cores since the system started, in seconds."""

    busy_s: float
    idle_s: float


ReadCpuTime: TypeAlias = Callable[[], CpuTime]


def read_cpu_time() -> CpuTime:
    """Ask the system."""
    times = psutil.cpu_times()
    busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    return CpuTime(busy, times.idle + getattr(times, "iowait", 0.0))


def estimate_limits(
    *, allowed: bool, idle_w: float | None, max_w: float | None
) -> EstimateLimits | None:
    """Return the limits that the options stand for, `None` if estimates were not asked for.

    Raises:
        ConfigError: One of the options is missing or they contradict each other.
    """
    if not allowed:
        if idle_w is not None or max_w is not None:
            raise ConfigError("--idle-w and --max-w are for estimates; add --allow-estimates.")
        return None
    if idle_w is None or max_w is None:
        raise ConfigError(
            "--allow-estimates needs --idle-w and --max-w: what the device draws with all cores "
            "idle and with all cores busy, by a meter or its data sheet."
        )
    try:
        return EstimateLimits(idle_w=idle_w, max_w=max_w)
    except ValidationError as error:
        raise ConfigError(
            f"--idle-w {idle_w:g} and --max-w {max_w:g} do not fit: write watts, the idle power "
            "first and lower."
        ) from error


def discover_estimate(limits: EstimateLimits, read: ReadCpuTime = read_cpu_time) -> Discovery:
    """Offer the estimate and its bounds; to be called only if the user asked for it.

    Each reading is the mean since the reading before.
    """
    look = Snapshot(_Looks(limits, read).look)
    pace = Pace(interval_s=INTERVAL_S)
    meters = tuple(
        SnapshotMeter(_info(source, limits), look, (source,), pace) for source in SOURCES
    )
    return Discovery(meters, tuple(meter.info for meter in meters))


class _Looks:
    """Remembers the look before, because busy shares are of the time between two."""

    def __init__(self, limits: EstimateLimits, read: ReadCpuTime) -> None:
        self._limits = limits
        self._read = read
        self._last = read()

    def look(self) -> Mapping[str, float]:
        """Return the estimate and its bounds; raises `ValueError` if no time has passed."""
        current, last = self._read(), self._last
        busy_s = max(0.0, current.busy_s - last.busy_s)
        total_s = busy_s + max(0.0, current.idle_s - last.idle_s)
        if total_s <= 0.0:
            raise ValueError("no processor time was counted since the reading before")
        self._last = current
        share = busy_s / total_s
        limits = self._limits
        values = (limits.power_w(share), limits.low_w(share), limits.high_w(share))
        return dict(zip(SOURCES, values, strict=True))


def _info(source: str, limits: EstimateLimits) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity=SOURCES[source],
        kind=SampleKind.ESTIMATED,
        scope=Scope.SYSTEM,
        interval_s=INTERVAL_S,
        max_power_w=limits.max_w,
    )
