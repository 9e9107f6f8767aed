"""How far two sets of logits are apart, accumulated over slices of the vocabulary."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


TIE_NATS = 0.1
"""Tokens whose odds are below 1.1 to 1 count as equally likely: which comes first is chance."""


class _Softmax:
    """Running normalizer, arg max and target logit of one model's logits."""

    def __init__(self, targets: npt.NDArray[np.int64]) -> None:
        count = len(targets)
        self.peak: Doubles = np.full(count, -np.inf)
        self.total: Doubles = np.zeros(count)
        self.top: npt.NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self.target_logit: Doubles = np.zeros(count)
        self._targets = targets

    def add(self, start: int, logits: Floats) -> tuple[Doubles, Floats, npt.NDArray[np.bool_]]:
        """Take a slice.

        Returns:
            The factor on older sums, `exp(logits - peak)`, and which rows have a new top.
        """
        best = logits.argmax(axis=1)
        rows = np.arange(len(logits))
        highest = logits[rows, best].astype(np.float64)
        is_new = highest > self.peak
        self.top = np.where(is_new, start + best, self.top)
        peak = np.maximum(self.peak, highest)
        decay = np.exp(self.peak - peak)
        weights = logits - peak[:, None].astype(np.float32)
        np.exp(weights, out=weights)
        self.total = self.total * decay + weights.sum(axis=1, dtype=np.float64)
        self.peak = peak
        inside = (self._targets >= start) & (self._targets < start + logits.shape[1])
        self.target_logit[inside] = logits[rows[inside], self._targets[inside] - start]
        return decay, weights, is_new

    @property
    def log_total(self) -> Doubles:
        """Logarithm of the normalizer."""
        log_total: Doubles = self.peak + np.log(self.total)
        return log_total

    @property
    def surprise(self) -> Doubles:
        """Negative log-likelihood of the targets, nats."""
        return self.log_total - self.target_logit


class LogitStatistics:
    """Compares package and reference on some positions.

    KL(P‖Q) = Σ p (a − b) − log Z_a + log Z_b with reference logits a and package logits b: every
    sum runs over the vocabulary once, so neither side needs all its logits in memory.
    """

    def __init__(self, targets: npt.NDArray[np.int64]) -> None:
        """Prepare; `targets` are the tokens that follow each position, `(positions,)`."""
        self._reference = _Softmax(targets)
        self._package = _Softmax(targets)
        self._weighted_gap: Doubles = np.zeros(len(targets))
        self._reference_at_top: Doubles = np.full(len(targets), -np.inf)

    def add(self, start: int, reference: Floats, package: Floats) -> None:
        """Take the logits of a slice of the vocabulary, `(positions, slice)` each."""
        decay, weights, _ = self._reference.add(start, reference)
        is_new = self._package.add(start, package)[2]
        columns = self._package.top[is_new] - start
        self._reference_at_top[is_new] = reference[is_new, columns]
        gaps = reference - package
        gaps *= weights
        self._weighted_gap = self._weighted_gap * decay + gaps.sum(axis=1, dtype=np.float64)

    @property
    def kl(self) -> Doubles:
        """Kullback-Leibler divergence of each position, nats; rounding may leave −1e-7."""
        reference, package = self._reference, self._package
        mean_gap = self._weighted_gap / reference.total
        return mean_gap - reference.log_total + package.log_total

    @property
    def agreement(self) -> npt.NDArray[np.bool_]:
        """Whether both put the same token first, each position."""
        agreement: npt.NDArray[np.bool_] = self._reference.top == self._package.top
        return agreement

    @property
    def tied_agreement(self) -> npt.NDArray[np.bool_]:
        """Whether the package puts a token first that the reference puts first, or nearly so."""
        gap = self._reference.peak - self._reference_at_top
        agreement: npt.NDArray[np.bool_] = gap <= TIE_NATS
        return agreement

    @property
    def surprise_reference(self) -> Doubles:
        """Negative log-likelihood of the targets in the reference, nats."""
        return self._reference.surprise

    @property
    def surprise_package(self) -> Doubles:
        """Negative log-likelihood of the targets in the package, nats."""
        return self._package.surprise
