"""Estimates of energy where nothing can be measured: never a measurement, always with bounds.

The model is a straight line between two powers that the user gives: `P = idle + (max - idle) u`,
with `u` the busy share of all cores. Its inputs are guesses and its shape is one, so the bounds are
wide on purpose: nothing between all cores idle and all cores busy is excluded, and never less than
40 % to either side, by which published models of this kind were found to be wrong. Readings of
estimates have quantities of their own, which no metric of energy reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import Field, model_validator

from edgeagent.clock import to_seconds
from edgeagent.record.base import Record
from edgeagent.record.samples import Sample

QUANTITY, LOW_QUANTITY, HIGH_QUANTITY = (
    "power_estimate_w",
    "power_estimate_low_w",
    "power_estimate_high_w",
)
"""Of readings: what the model says, and its bounds."""

MODEL_ERROR = 0.4
"""Least relative width of the bounds to either side."""


class EstimateLimits(Record):
    """What the user says about the device.

    Attributes:
        idle_w: Power with all cores idle.
        max_w: Power with all cores busy.
    """

    idle_w: float = Field(ge=0)
    max_w: float = Field(gt=0, le=10_000)

    @model_validator(mode="after")
    def _in_order(self) -> EstimateLimits:
        if self.max_w <= self.idle_w:
            raise ValueError("the highest power must be above the idle power")
        return self

    def power_w(self, busy_share: float) -> float:
        """Return the estimated power at a busy share of all cores, 0 to 1."""
        return self.idle_w + (self.max_w - self.idle_w) * min(1.0, max(0.0, busy_share))

    def low_w(self, busy_share: float) -> float:
        """Return what it may be as little as."""
        return min(self.idle_w, (1 - MODEL_ERROR) * self.power_w(busy_share))

    def high_w(self, busy_share: float) -> float:
        """Return what it may be as much as."""
        return max(self.max_w, (1 + MODEL_ERROR) * self.power_w(busy_share))


@dataclass(frozen=True, slots=True)
class EnergyEstimate:
    """An estimated energy; the three belong together wherever they are shown.

    Attributes:
        energy_j_estimate: What the model says.
        low_j: It may be as little as this.
        high_j: It may be as much as this.
    """

    energy_j_estimate: float
    low_j: float
    high_j: float


def estimate_energy(
    busy_shares: Sequence[tuple[int, float]], limits: EstimateLimits, t0_ns: int, t1_ns: int
) -> EnergyEstimate | None:
    """Estimate the energy of a window from how busy the cores were.

    Args:
        busy_shares: Moments on the monotonic clock in order, each with the mean busy share of all
            cores since the moment before; the share of the first one is not used.
        limits: Idle and highest power.
        t0_ns: Start of the window.
        t1_ns: Its end.

    Returns:
        The estimate, `None` where the shares do not cover the window.
    """
    if t1_ns < t0_ns:
        raise ValueError("the window ends before it starts")
    if not busy_shares or busy_shares[0][0] > t0_ns or busy_shares[-1][0] < t1_ns:
        return None
    energy_j = low_j = high_j = 0.0
    for (before_ns, _), (after_ns, share) in pairwise(busy_shares):
        inside_s = to_seconds(min(after_ns, t1_ns) - max(before_ns, t0_ns))
        if inside_s > 0:
            energy_j += limits.power_w(share) * inside_s
            low_j += limits.low_w(share) * inside_s
            high_j += limits.high_w(share) * inside_s
    return EnergyEstimate(energy_j, low_j, high_j)


def busy_shares_of(samples: Sequence[Sample], limits: EstimateLimits) -> list[tuple[int, float]]:
    """Return the busy shares behind readings of `power_estimate_w`, for `estimate_energy`."""
    span_w = limits.max_w - limits.idle_w
    return [(sample.t_ns, (sample.value - limits.idle_w) / span_w) for sample in samples]
