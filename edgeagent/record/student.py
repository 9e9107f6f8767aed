"""Quantiles of Student's t distribution, for intervals of a mean over few repetitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

_T975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip
"""The 97.5 % quantile for 1 to 30 degrees of freedom."""
_Z975 = 1.959964


def t975(degrees: float) -> float:
    """Return the 97.5 % quantile for some degrees of freedom, which need not be whole.

    Whole numbers up to 30 come from the table, those between are interpolated in 1 / degrees; above
    30 the first terms of the Cornish-Fisher expansion are exact to 1e-4.

    Raises:
        ValueError: Less than one degree of freedom.
    """
    if degrees < 1:
        raise ValueError("a t distribution needs at least one degree of freedom")
    if degrees >= len(_T975):
        z = _Z975
        first = (z**3 + z) / (4 * degrees)
        second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        return z + first + second
    below = math.floor(degrees)
    low, high = _T975[below - 1], _T975[below]
    share = (1 / below - 1 / degrees) / (1 / below - 1 / (below + 1))
    return low + share * (high - low)


def mean_half_width(values: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval of the mean, `None` for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return t975(n - 1) * math.sqrt(variance / n)
