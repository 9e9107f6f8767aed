"""Quantizing rows of a matrix, in pieces that fit a core's cache, on several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeagent.config.cores import usable_cores
from edgeagent.errors import DamagedFileError
from edgeagent.export.quantize.scheme import Offset, Scheme
from edgeagent.export.quantize.search import Floats, fit_blocks

_PIECE_WEIGHTS = 1 << 16
"""Weights that one thread works on: 256 KB in each of four arrays."""


@dataclass(frozen=True)
class QuantizedRows:
    """Rows as `scale · (quant − zero_point) + correction`.

    Attributes:
        quants: `(rows, blocks, block_len)` uint8, 0 to 15 or 0 to 255.
        scales: `(rows, blocks)` float32; negative ones occur without zero points.
        zero_points: `(rows, blocks)` uint8, `None` where half the range stands for zero.
        corrections: `(rows, blocks)` float32, `None` unless the scheme has corrections.
        squared_error: Sum of squared differences to the weights, weighted by importance.
        squared_sum: Sum of squared weights, weighted likewise.
        scheme: How they were quantized.
    """

    quants: npt.NDArray[np.uint8]
    scales: Floats
    zero_points: npt.NDArray[np.uint8] | None
    corrections: Floats | None
    squared_error: float
    squared_sum: float
    scheme: Scheme

    @property
    def relative_error(self) -> float:
        """Squared error as a share of the squared sum; 0 for rows of zeros."""
        return self.squared_error / self.squared_sum if self.squared_sum else 0.0

    def to_float(self) -> Floats:
        """The weights that the quants stand for, `(rows, in_features)` float32."""
        steps = self.quants.astype(np.float32)
        if self.zero_points is None:
            steps -= np.float32(self.scheme.centre)
        else:
            steps -= self.zero_points[..., None].astype(np.float32)
        steps *= self.scales[..., None]
        if self.corrections is not None:
            steps += self.corrections[..., None]
        rows, blocks, block_len = steps.shape
        return steps.reshape(rows, blocks * block_len)


def quantize_rows(
    weights: Floats,
    scheme: Scheme,
    *,
    importance: Floats | None = None,
    threads: int | None = None,
    source: str = "a tensor",
) -> QuantizedRows:
    """Quantize a slice of rows with the least squared error that the search finds.

    The result depends on nothing but the arguments, whatever the number of threads. Memory beside
    the result is about 2 MB a thread.

    Args:
        weights: `(rows, in_features)` float32; `in_features` is a multiple of the block length.
        scheme: What a block consists of.
        importance: `(in_features,)`, how much the squared error of each column counts, such as
            the mean square of that input; not negative. A block whose columns all count nothing is
            quantized as if they counted the same.
        threads: Threads to use; one for each core that this process may use if `None`.
        source: What to call the tensor in an error.

    Raises:
        DamagedFileError: A weight is not a finite number.
        ValueError: The shapes do not fit, or an importance is negative or not finite.
    """
    rows, in_features = weights.shape
    if in_features % scheme.block_len:
        raise ValueError(f"rows of {in_features} weights have no blocks of {scheme.block_len}")
    if not np.isfinite(weights).all():
        raise DamagedFileError(f"{source} holds a weight that is not a finite number.")
    work = _Work(weights, scheme, importance)
    step = max(1, _PIECE_WEIGHTS // in_features)
    starts = range(0, rows, step)
    workers = min(threads or usable_cores(), len(starts))
    if workers <= 1:
        sums = [work.quantize(start, start + step) for start in starts]
    else:
        with ThreadPoolExecutor(workers) as pool:
            sums = list(pool.map(lambda start: work.quantize(start, start + step), starts))
    return QuantizedRows(
        quants=work.quants,
        scales=work.scales,
        zero_points=work.zero_points,
        corrections=work.corrections,
        squared_error=sum(error for error, _ in sums),
        squared_sum=sum(square for _, square in sums),
        scheme=scheme,
    )


class _Work:
    """Weights to quantize, and the arrays that pieces of the result are written into."""

    def __init__(self, weights: Floats, scheme: Scheme, importance: Floats | None) -> None:
        self._weights = weights
        self._scheme = scheme
        self._importance = None
        if importance is not None:
            self._importance = _Importance(importance, weights.shape[1], scheme)
        rows, blocks = len(weights), weights.shape[1] // scheme.block_len
        self.quants = np.empty((rows, blocks, scheme.block_len), dtype=np.uint8)
        self.scales = np.empty((rows, blocks), dtype=np.float32)
        self.zero_points = self.corrections = None
        if scheme.offset is Offset.ZERO_POINT:
            self.zero_points = np.empty((rows, blocks), dtype=np.uint8)
        if scheme.offset is Offset.CORRECTION:
            self.corrections = np.empty((rows, blocks), dtype=np.float32)

    def quantize(self, start: int, stop: int) -> tuple[float, float]:
        """Quantize some rows; returns their squared error and squared sum."""
        block_len = self._scheme.block_len
        part = self._weights[start:stop].astype(np.float32, copy=False)
        columns = np.ascontiguousarray(part.reshape(-1, block_len).T)
        importance = self._importance
        factors = None if importance is None else importance.factors(len(part))
        fit = fit_blocks(columns, factors, self._scheme)
        shape = self.scales[start:stop].shape
        quants = (fit.steps + fit.zero_point).astype(np.uint8)
        self.quants[start:stop] = quants.T.reshape(*shape, block_len)
        self.scales[start:stop] = fit.scale.reshape(shape)
        if self.zero_points is not None:
            self.zero_points[start:stop] = fit.zero_point.reshape(shape)
        if self.corrections is not None:
            self.corrections[start:stop] = fit.correction.reshape(shape)
        errors = np.ldexp(fit.error.astype(np.float64), 2 * fit.exponent)
        squares = np.einsum("kn,kn->n", columns, columns, dtype=np.float64)
        if importance is not None and factors is not None:
            squares = np.einsum("kn,kn,kn->n", columns, columns, factors, dtype=np.float64)
            errors *= importance.means(len(part))
            squares *= importance.means(len(part))
        return float(errors.sum()), float(squares.sum())


class _Importance:
    """Importance of the columns of a row, cut into blocks.

    Blocks do not compete with each other, so each is given factors with a mean of 1, which keeps
    the sums of the search in range; the means come in again when the blocks' errors are added up.
    """

    def __init__(self, importance: Floats, in_features: int, scheme: Scheme) -> None:
        if importance.shape != (in_features,):
            raise ValueError(f"importance of shape {importance.shape} for {in_features} columns")
        if not (np.isfinite(importance).all() and (importance >= 0).all()):
            raise ValueError("an importance is negative or not a finite number")
        blocks = importance.astype(np.float64).reshape(-1, scheme.block_len).T
        self._means = blocks.mean(axis=0)
        factors = np.where(self._means > 0, blocks / np.where(self._means > 0, self._means, 1), 1)
        self._factors = factors.astype(np.float32)

    def factors(self, rows: int) -> Floats:
        """Factors of the weights of some rows, `(block_len, rows · blocks)`."""
        return np.tile(self._factors, (1, rows))

    def means(self, rows: int) -> npt.NDArray[np.float64]:
        """What the errors of these blocks count, `(rows · blocks,)`."""
        return np.tile(self._means, rows)
