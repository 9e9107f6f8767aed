"""Random numbers that are the same on every platform and with every version of numpy.

Only the raw stream of a bit generator is guaranteed to stay; everything else here is integer
arithmetic and correctly rounded operations.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

_PARTS = 4
_VARIANCE = _PARTS * (2.0**32 - 1.0) / 12.0  # of the sum of four uniform 16-bit integers


class NamedStream:
    """A stream of numbers that belongs to a name."""

    def __init__(self, name: str) -> None:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        self._bits = np.random.PCG64(seed)

    def _sixteens(self, count: int) -> npt.NDArray[np.float64]:
        raw = np.asarray(self._bits.random_raw(count), dtype="<u8")
        return raw.view("<u2").reshape(count, _PARTS).astype(np.float64)

    def normal(self, deviation: float, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Nearly normal: the sum of four uniform numbers, within 3.5 deviations of zero."""
        sums = self._sixteens(math.prod(shape)).sum(axis=1) - _PARTS * 32767.5
        return (sums * (deviation / math.sqrt(_VARIANCE))).reshape(shape)

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Uniform between two bounds, in steps of a 65536th."""
        parts = self._sixteens(math.prod(shape))[:, 0].reshape(shape)
        return low + (high - low) * parts / 65536.0

    def integers(self, end: int, count: int) -> list[int]:
        """Integers from 0 up to, not including, `end`."""
        return [int(raw) % end for raw in np.asarray(self._bits.random_raw(count))]
