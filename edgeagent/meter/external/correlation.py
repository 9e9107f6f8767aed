"""Comparing a recording with a pattern at every place, holes in the recording included."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

_MIN_COVERAGE = 0.8
"""Share of the pattern that must lie on readings."""


def on_grid(
    t_s: Floats, power_w: Floats, step_s: float, interval_s: float
) -> tuple[Floats, Floats]:
    """Return the recording at even steps, and 1 where it has readings, 0 in holes.

    Args:
        t_s: Times of the readings, `(n,) float64`, strictly rising.
        power_w: The readings, `(n,) float64`.
        step_s: Time between two values of the result.
        interval_s: Nominal time between two readings.

    Returns:
        Values without their mean and their validity, both `(m,) float64`.
    """
    count = math.floor((t_s[-1] - t_s[0]) / step_s) + 1
    moments = t_s[0] + step_s * np.arange(count)
    values = np.interp(moments, t_s, power_w)
    if interval_s < step_s:  # several readings per step: their mean, or noise would pass
        index = np.minimum(np.rint((t_s - t_s[0]) / step_s).astype(np.int64), count - 1)
        readings = np.bincount(index, minlength=count)
        sums = np.bincount(index, weights=power_w, minlength=count)
        values = np.where(readings > 0, sums / np.maximum(readings, 1), values)
    after = np.clip(np.searchsorted(t_s, moments), 1, len(t_s) - 1)
    hole = t_s[after] - t_s[after - 1] > 3 * interval_s + step_s
    return values - values.mean(), np.where(hole, 0.0, 1.0)


def correlate(values: Floats, valid: Floats, pattern: Floats) -> Floats:
    """Return the normalised correlation at every shift, -1 where there are too few readings.

    Args:
        values: A series, `(m,) float64`.
        valid: 1 where it has a value, 0 in holes, `(m,) float64`.
        pattern: What to look for, `(k,) float64`.

    Returns:
        Pearson's coefficient of the pattern with the valid values under it, `(m - k + 1,)
        float64`; empty if the series is shorter than the pattern.
    """
    if len(values) < len(pattern):
        return np.empty(0)

    def total(series: Floats, weights: Floats) -> Floats:
        return np.correlate(series, weights, mode="valid")

    ones = np.ones_like(pattern)
    count = total(valid, ones)
    sum_v, sum_vv = total(valid * values, ones), total(valid * values**2, ones)
    sum_p, sum_pp = total(valid, pattern), total(valid, pattern**2)
    sum_vp = total(valid * values, pattern)
    spread = (count * sum_vv - sum_v**2) * (count * sum_pp - sum_p**2)
    floor = 1e-12 * max(float(np.abs(spread).max()), 1e-300)
    usable = (count >= _MIN_COVERAGE * len(pattern)) & (spread > floor)
    product = count * sum_vp - sum_v * sum_p
    return np.where(usable, product / np.sqrt(np.where(usable, spread, 1.0)), -1.0)
