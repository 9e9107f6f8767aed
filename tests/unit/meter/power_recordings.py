"""Synthetic recordings of an external meter: a device with load pulses around a busy run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeagent.meter.external.alignment import PulseGroup
from edgeagent.meter.external.correlation import Floats
from edgeagent.meter.external.load_pulse import PATTERNS, Position

IDLE_W, BUSY_W = 4.0, 9.0


def pulse_group(position: Position, t0_s: float) -> PulseGroup:
    """The usual pattern, beginning at `t0_s`."""
    edges = t0_s + np.cumsum((0.0, *PATTERNS[position]))
    busy = tuple((float(edges[i]), float(edges[i + 1])) for i in (1, 3, 5))
    return PulseGroup(float(edges[0]), float(edges[-1]), busy)


def device_power_w(t_s: Floats, groups: list[PulseGroup], seed: int = 1) -> Floats:
    """Power of a device at each moment of the run: pulses, and tasks of random length between."""
    power = np.full(len(t_s), IDLE_W)
    for group in groups:
        for start, end in group.busy:
            power[(t_s >= start) & (t_s < end)] = BUSY_W
    random = np.random.default_rng(seed)
    moment = groups[0].t1_s + 1.0
    while moment < groups[-1].t0_s - 4.0:
        end = moment + random.uniform(0.3, 3.0)
        power[(t_s >= moment) & (t_s < end)] = random.uniform(6.0, 9.5)
        moment = end + random.uniform(0.1, 2.0)
    return power


@dataclass(frozen=True)
class Meter:
    """How the meter records.

    Attributes:
        interval_s: Time between two readings, by its own clock.
        starts_s: Moment of the run at which it begins.
        ends_s: Moment of the run at which it ends.
        skew: How much slower than the run's its clock goes.
        noise_w: Standard deviation of a reading.
        dropped: Share of the readings that are lost.
        seed: Of noise and losses.
    """

    interval_s: float
    starts_s: float
    ends_s: float
    skew: float = 0.0
    noise_w: float = 0.0
    dropped: float = 0.0
    seed: int = 0

    def record(self, groups: list[PulseGroup]) -> tuple[Floats, Floats]:
        """Return times by its own clock and readings, each the mean since the one before."""
        random = np.random.default_rng(self.seed)
        count = int((self.ends_s - self.starts_s) / (1 + self.skew) / self.interval_s)
        t_s = self.interval_s * np.arange(1, count)
        true_s = self.starts_s + (1 + self.skew) * t_s
        fine = np.arange(self.starts_s - self.interval_s, self.ends_s, 0.002)
        energy = np.concatenate(([0.0], np.cumsum(device_power_w(fine, groups) * 0.002)))[:-1]
        width = self.interval_s
        means = (np.interp(true_s, fine, energy) - np.interp(true_s - width, fine, energy)) / width
        means = means + random.normal(0.0, self.noise_w, len(means))
        kept = random.random(len(t_s)) >= self.dropped
        return t_s[kept], means[kept]
