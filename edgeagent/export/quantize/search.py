"""The search for scale and offset of blocks: candidates, each improved by least squares.

With the quants fixed, the best scale (and correction) of a block is a linear regression; with scale
and offset fixed, the best quants are the nearest ones. So each candidate scale is turned into
quants, a regression says how much of the block these can explain, and the best candidate is
improved by alternating both steps, none of which can increase the error. Candidates are spread
around the scale that just covers the block: slightly coarser or finer ones, which clip the largest
weights, often fit the others better. ggml's `make_qx_quants` and `make_qkx2_quants` rest on the
same idea.

Arrays have a block in each column, `(block_len, blocks)`: factors of blocks then apply to
contiguous rows and sums over blocks are sums of rows, which numpy does several times faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgeagent.export.quantize.scheme import Offset, Scheme

Floats = npt.NDArray[np.float32]

_TINY = np.finfo(np.float32).tiny
_HALF_MAX = float(np.finfo(np.float16).max)

_SYMMETRIC_4BIT = (
    *(7.0, -8.0),
    *(-7.4, -7.7, -8.3, -8.6, -9.0, -10.0, 7.5, 8.0, 9.0),
    *(4.0, 5.0, 6.0),
)
"""Step that the weight of largest magnitude is mapped to. The first two cover the block; the last
three find each block again that lies on a grid of 4 bits without using all of it."""
_SYMMETRIC_8BIT = (127.0, -128.0, -129.0)
_SPANS_4BIT = (
    *(15.0, 14.4, 14.7, 15.4, 15.8, 16.3, 17.0, 18.5),
    *(14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0),
)
"""Steps between the smallest and the largest weight, in the same order."""
_SPANS_8BIT = (255.0, 254.0, 256.0)
_ALTERNATIONS = 2
_FINALISTS = 2
"""Candidates that are compared with the best grid once more, by what is left after storing them:
rounding a scale may lose what the search gained, and gains are differences of large numbers."""


@dataclass(frozen=True)
class BlockFit:
    """Quantized blocks, `weight = scale · steps + correction`.

    Attributes:
        steps: `(block_len, blocks)` whole numbers, quant minus zero point.
        scale: `(blocks,)`.
        zero_point: `(blocks,)` whole numbers.
        correction: `(blocks,)`, zero unless the scheme has corrections.
        error: `(blocks,)` sums of weighted squared errors, relative to `exponent`.
        exponent: `(blocks,)`; errors are to be multiplied by `4 ** exponent`.
    """

    steps: Floats
    scale: Floats
    zero_point: Floats
    correction: Floats
    error: Floats
    exponent: npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Grid:
    """Scale and offset of each block, and how much of it its nearest quants explain.

    Attributes:
        scale: `(blocks,)`.
        zero_point: `(blocks,)`.
        correction: `(blocks,)`.
        gain: `(blocks,)` reduction of the weighted squared error against quants that are all 0.
    """

    scale: Floats
    zero_point: Floats
    correction: Floats
    gain: Floats

    def better_of(self, other: _Grid) -> _Grid:
        """Of each block the grid that explains more of it; this one where both are equal."""
        chosen = other.gain > self.gain
        return _Grid(
            np.where(chosen, other.scale, self.scale),
            np.where(chosen, other.zero_point, self.zero_point),
            np.where(chosen, other.correction, self.correction),
            np.where(chosen, other.gain, self.gain),
        )


def fit_blocks(weights: Floats, importance: Floats | None, scheme: Scheme) -> BlockFit:
    """Quantize blocks.

    Args:
        weights: `(block_len, blocks)`, finite.
        importance: Factor of each squared error, same shape, none negative; `None` for all 1.
        scheme: What to choose.
    """
    return _Search(weights, importance, scheme).run()


class _Search:
    """Blocks scaled to a largest magnitude of 0.5 to 1, so that no sum leaves float32's range."""

    def __init__(self, weights: Floats, importance: Floats | None, scheme: Scheme) -> None:
        peak = np.maximum(weights.max(axis=0), -weights.min(axis=0))
        # A power of two changes no mantissa.
        self._exponent = np.frexp(peak)[1].astype(np.int32)
        self._weights = np.ldexp(weights, -self._exponent)
        self._scheme = scheme
        self._importance = importance
        self._total: Floats | float = float(len(weights))
        self._mean = np.zeros_like(peak)
        if importance is not None:
            self._total = importance.sum(axis=0)
        if scheme.offset is Offset.CORRECTION:
            # Around the mean, the regression needs no sum that cancels another.
            self._mean = self._sum_with(self._weights) / self._total
            self._weights -= self._mean
        self._weighted = self._weights if importance is None else self._weights * importance
        self._low = self._weights.min(axis=0)
        self._high = self._weights.max(axis=0)
        self._steps = np.empty_like(self._weights)
        self._scratch = np.empty_like(self._weights)

    def run(self) -> BlockFit:
        """Return the best fit that was found."""
        candidates = list(self._candidates())
        best = self._improve(candidates[0])
        for candidate in candidates[1:]:
            best = best.better_of(self._improve(candidate))
        if self._scheme.offset is Offset.ZERO_POINT:
            best = self._shift(best)
        for _ in range(_ALTERNATIONS):
            best = best.better_of(self._improve(best))
        return self._round([best, *candidates[:_FINALISTS]])

    def _candidates(self) -> Iterator[_Grid]:
        """Grids to start from; the first one is plain rounding to nearest."""
        scheme = self._scheme
        centre = np.full_like(self._low, scheme.centre)
        none = np.zeros_like(self._low)
        wide = scheme.bits == 8
        if scheme.offset is Offset.NONE:
            extreme = np.where(-self._low > self._high, self._low, self._high)
            for quant in _SYMMETRIC_8BIT if wide else _SYMMETRIC_4BIT:
                yield _Grid(extreme / np.float32(quant), centre, none, none)
            return
        low, high = self._low, self._high
        if scheme.offset is Offset.ZERO_POINT:  # zero is on the grid
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        for span in _SPANS_8BIT if wide else _SPANS_4BIT:
            scale = (high - low) / np.float32(span)
            if scheme.offset is Offset.CORRECTION:
                yield _Grid(scale, centre, low - scale * self._first_step(span), none)
            else:
                zero_point = np.rint(-low * _reciprocal(scale)).clip(0, scheme.highest)
                yield _Grid(scale, zero_point, none, none)

    def _first_step(self, span: float) -> np.float32:
        """Where a span of steps begins; what it leaves unused or exceeds lies at both ends."""
        spare = (self._scheme.highest - span) / 2
        if span.is_integer():
            spare = math.floor(spare)
        return np.float32(spare - self._scheme.centre)

    def _shift(self, best: _Grid) -> _Grid:
        """Try the zero points beside the best ones."""
        for shift in (-1, 1):
            moved = (best.zero_point + np.float32(shift)).clip(0, self._scheme.highest)
            best = best.better_of(self._improve(replace(best, zero_point=moved)))
        return best

    def _improve(self, grid: _Grid) -> _Grid:
        """Round to the nearest quants of a grid, and return the best grid of these quants."""
        steps = self._nearest(grid)
        product = np.einsum("kn,kn->n", self._weighted, steps)
        square = self._sum_with(np.multiply(steps, steps, out=self._scratch))
        correction = grid.correction
        if self._scheme.offset is Offset.CORRECTION:
            total = self._sum_with(steps)
            square -= total * total / self._total
        scale = product * _reciprocal(square)
        if self._scheme.offset is Offset.CORRECTION:
            correction = -scale * total / self._total
        return _Grid(scale, grid.zero_point, correction, scale * product)

    def _nearest(self, grid: _Grid) -> Floats:
        """The nearest quants minus the zero point; overwritten by the next call."""
        steps: Floats = self._steps
        values: Floats = self._weights
        if self._scheme.offset is Offset.CORRECTION:
            values = np.subtract(values, grid.correction, out=self._scratch)
        np.multiply(values, _reciprocal(grid.scale), out=steps)
        np.rint(steps, out=steps)
        np.maximum(steps, -grid.zero_point, out=steps)
        np.minimum(steps, np.float32(self._scheme.highest) - grid.zero_point, out=steps)
        return steps

    def _round(self, finalists: Sequence[_Grid]) -> BlockFit:
        """Store scales with the scheme's precision, then choose grids and quants for good."""
        grid, *others = (self._storable(finalist) for finalist in finalists)
        for other in others:
            grid = grid.better_of(other)
        correction = grid.correction
        if self._scheme.offset is Offset.CORRECTION:
            correction = self._stored(correction + self._mean)
        return BlockFit(
            steps=self._nearest(grid),
            scale=self._stored(grid.scale),
            zero_point=grid.zero_point,
            correction=correction,
            error=-grid.gain,
            exponent=self._exponent,
        )

    def _storable(self, grid: _Grid) -> _Grid:
        """What is left of a grid once it is stored; its gain is the negative error left."""
        scale, correction = self._rounded(grid.scale), grid.correction
        if self._scheme.offset is Offset.CORRECTION:
            correction = self._rounded(correction + self._mean) - self._mean
        stored = _Grid(scale, grid.zero_point, correction, grid.gain)
        errors = np.multiply(self._nearest(stored), scale, out=self._scratch)
        if self._scheme.offset is Offset.CORRECTION:
            errors += correction
        errors -= self._weights
        error = self._sum_with(np.multiply(errors, errors, out=errors))
        return replace(stored, gain=-error)

    def _rounded(self, values: Floats) -> Floats:
        """Scales or corrections as the search sees them after they were stored."""
        rounded: Floats = np.ldexp(self._stored(values), -self._exponent)
        return rounded

    def _stored(self, values: Floats) -> Floats:
        """Scales or corrections in the units of the weights, with the scheme's precision."""
        stored: Floats = np.ldexp(values, self._exponent)
        if self._scheme.half_scales:
            stored = stored.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16).astype(np.float32)
        return stored

    def _sum_with(self, values: Floats) -> Floats:
        """Sums over blocks, weighted by importance."""
        sums: Floats
        if self._importance is None:
            sums = values.sum(axis=0)
        else:
            sums = np.einsum("kn,kn->n", values, self._importance)
        return sums


def _reciprocal(values: Floats) -> Floats:
    """`1 / values`, and 0 where that is no finite number."""
    usable = np.abs(values) >= _TINY
    reciprocal: Floats = np.where(usable, 1 / np.where(usable, values, 1), 0).astype(np.float32)
    return reciprocal
