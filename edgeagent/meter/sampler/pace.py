"""How often each source is read: pure decisions about time, no clock and no reading in here.

Every source has an interval out of the series 1, 2, 5, 10, 20, ... times that of the sampler, with
all of them in phase: waking up costs as much as reading, so sources are read together. A source
moves to a longer interval of the series:

- if it asks for that itself (`min_interval_s`);
- if a reading costs so much processor time that it would exceed `SOURCE_PART` of the budget;
- if it waits (an I2C bus: 7 to 13 ms) for more than `WAITING_SHARE` of the time, because the others
  wait with it;
- if it fails: it is tried again more and more rarely, at last every `RETRY_S`;
- if the whole sampler costs more than its budget. Energy and power come last then: a coarser peak
  of memory hurts less than a coarser power curve.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.clock import NS_PER_S
from edgeagent.record.samples import SourceInfo, SourceState

TOTAL_SHARE = 0.006
"""Share of one core that a sampler may cost unless told otherwise; less than 1 % is promised."""

SOURCE_PART = 1 / 3
"""Part of that share that the readings of one source may cost."""

WAITING_SHARE = 0.25
"""Share of the time that waiting for one source may take."""

RETRY_S = 5.0
"""A source that does not come back is asked this rarely."""

MAX_STRETCH = 16.0
_STRETCHES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)

_ENERGY_SUFFIXES = ("_j", "_w")
_ENERGY_HEAD_START = 4.0
"""Energy and power are stretched only by what goes beyond this factor."""

_MOST_ENERGY_STRETCH = 2.0
"""Integration does not bridge holes of more than five usual intervals; stay far below that."""

_PATIENCE = 5
"""Failures in a row that may be a hiccup (EAGAIN, ENODATA), so the pace stays as it is."""

_SMOOTHING = 0.3

_DEAR_NS = 1_000_000
WAKE_NS = 100_000
"""Waking up costs about this much processor time, whatever is read then (measured: 0.08 to 0.2 ms
in a virtual machine)."""


class Grid:
    """Points in time at which sources may be read.

    Attributes:
        origin_ns: The first of them.
        base_ns: Distance of neighbours, the shortest interval of a source.
    """

    def __init__(self, origin_ns: int, base_ns: int) -> None:
        """Lay points `base_ns` apart, from `origin_ns` on."""
        self.origin_ns = origin_ns
        self.base_ns = base_ns

    def interval_ns(self, wanted_ns: float) -> int:
        """Return the shortest interval of the series that is not below `wanted_ns`."""
        scale = 1
        while True:
            for step in (1, 2, 5):
                # a hair less is meant to be equal: 1 s is ten times 0.1 s
                if step * scale * self.base_ns >= wanted_ns * 0.999:
                    return step * scale * self.base_ns
            scale *= 10

    def after(self, t_ns: int, interval_ns: int) -> int:
        """Return the first point later than `t_ns` of those that are `interval_ns` apart."""
        return self.origin_ns + ((t_ns - self.origin_ns) // interval_ns + 1) * interval_ns


class SourcePace:
    """When one source is due."""

    def __init__(self, info: SourceInfo, grid: Grid, share: float = TOTAL_SHARE) -> None:
        """Due at once; `share` of one core is the budget of the whole sampler."""
        self._grid = grid
        self._share = share * SOURCE_PART
        self._is_energy = info.quantity.endswith(_ENERGY_SUFFIXES)
        self._cost_ns = self._wait_ns = 0.0
        self._failures = 0
        self.due_ns = grid.origin_ns
        self.interval_ns = 0

    def cost_share(self, min_interval_s: float, stretch: float) -> float:
        """Return the share of one core that this source would cost with a given stretch."""
        return self._cost_ns / self._grid.interval_ns(self._wanted_ns(min_interval_s, stretch))

    @property
    def is_worth_a_last_look(self) -> bool:
        """Whether a reading behind the end is worth its cost: it closes counters and curves."""
        return self._is_energy or self._cost_ns < _DEAR_NS

    def learn(self, *, cost_ns: int, wait_ns: int) -> None:
        """Note the processor time and the duration of a reading, smoothed: one may be disturbed."""
        weight = 1.0 if self.interval_ns == 0 else _SMOOTHING
        self._cost_ns += weight * (cost_ns - self._cost_ns)
        self._wait_ns += weight * (wait_ns - self._wait_ns)

    def succeeded(self, at_ns: int, min_interval_s: float, stretch: float) -> None:
        """Plan the next reading after one that gave a value.

        Args:
            at_ns: Point of the grid that the reading belongs to.
            min_interval_s: What the source itself asks for, 0 if nothing.
            stretch: By how much the sampler has to save, 1 if it has not.
        """
        self._failures = 0
        self._plan(at_ns, self._wanted_ns(min_interval_s, stretch))

    def failed(self, at_ns: int, min_interval_s: float, stretch: float, state: SourceState) -> None:
        """Plan the next attempt after one that gave nothing; see `succeeded`."""
        self._failures += 1
        hiccups = 0 if state is SourceState.ABSENT else _PATIENCE
        wanted_ns = self._wanted_ns(min_interval_s, stretch)
        if self._failures > hiccups:
            doublings = min(self._failures - hiccups, 16)
            retry_ns = min(RETRY_S * NS_PER_S, self._grid.base_ns * 2.0**doublings)
            wanted_ns = max(wanted_ns, retry_ns)
        self._plan(at_ns, wanted_ns)

    def follow(self, leader: SourcePace) -> None:
        """Be read together with `leader`: both values come from one look, which costs once."""
        self.due_ns, self.interval_ns = leader.due_ns, leader.interval_ns

    def _wanted_ns(self, min_interval_s: float, stretch: float) -> float:
        if self._is_energy:
            stretch = min(_MOST_ENERGY_STRETCH, max(1.0, stretch / _ENERGY_HEAD_START))
        affordable_ns = max(self._cost_ns / self._share, self._wait_ns / WAITING_SHARE)
        return max(self._grid.base_ns, min_interval_s * NS_PER_S, affordable_ns) * stretch

    def _plan(self, at_ns: int, wanted_ns: float) -> None:
        self.interval_ns = self._grid.interval_ns(wanted_ns)
        self.due_ns = self._grid.after(at_ns, self.interval_ns)


class Thrift:
    """Keeps the processor time of the whole sampler within a share of one core."""

    def __init__(self, share: float = TOTAL_SHARE) -> None:
        """Nothing has to be saved yet."""
        self._limit = share
        self.stretch = 1.0
        self.largest_stretch = 1.0
        self._share: float | None = None

    def expect(self, share_with: Callable[[float], float]) -> None:
        """Begin with the stretch that the first readings suggest, instead of finding it later.

        Args:
            share_with: Returns the share of one core that a stretch is expected to cost.
        """
        self.stretch = next(
            (stretch for stretch in _STRETCHES if share_with(stretch) <= self._limit), MAX_STRETCH
        )
        self.largest_stretch = self.stretch

    def account(self, cpu_s: float, wall_s: float) -> None:
        """Note what the time since the last call cost, and decide how much to stretch.

        The share is smoothed over a few calls: one call of a second is too short for the clocks of
        some systems, which count processor time in steps of 16 ms.
        """
        if wall_s <= 0:
            return
        share = cpu_s / wall_s
        self._share = share if self._share is None else self._share + 0.4 * (share - self._share)
        if self._share > self._limit:
            excess = max(share, self._share) / self._limit
            self.stretch = min(MAX_STRETCH, self.stretch * min(2.0, excess))
            self._share = self._limit * 0.9  # what the new pace is expected to cost
        elif self._share < self._limit * 0.6 and self.stretch > 1.0:
            self.stretch = max(1.0, self.stretch * 0.9)
        self.largest_stretch = max(self.largest_stretch, self.stretch)
