"""Runs source and package on the sample and compares every prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeagent.errors import VerificationError
from edgeagent.export.verify.package import PackageDecoder
from edgeagent.export.verify.reference import ReferenceDecoder
from edgeagent.export.verify.runtime import RuntimeCheck
from edgeagent.export.verify.sample import Tokens
from edgeagent.export.verify.statistics import TIE_NATS, LogitStatistics
from edgeagent.export.verify.tool_calls import ToolCalls, picked
from edgeagent.record.manifest import Fidelity

Floats = npt.NDArray[np.float32]

_SLICE_LOGIT_BYTES = 24 << 20
"""Logits of one side that are in memory at a time."""
_MAX_SLICE = 1 << 14
_LAST_LOGIT_TOLERANCE = 1e-2
"""Largest difference between the whole and its parts; rounding leaves about 1e-4."""


@dataclass(frozen=True)
class Sample:
    """What is run: texts whose next tokens are predicted, and places where a tool is picked."""

    windows: tuple[Tokens, ...]
    calls: ToolCalls

    @property
    def all_windows(self) -> tuple[Tokens, ...]:
        """The windows of the texts, then those of the tool calls."""
        return self.windows + self.calls.windows

    @property
    def positions(self) -> int:
        """Number of predictions that are compared."""
        return sum(len(window) - 1 for window in self.all_windows)


class SourceRun:
    """The source's final states on the sample; computed once, whatever is compared with it."""

    def __init__(
        self,
        reference: ReferenceDecoder,
        sample: Sample,
        on_layers: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self.reference = reference
        self.sample = sample
        self.hidden = _predicting(reference.hidden_states(sample.all_windows, lambda: on_layers(1)))


def compare(
    run: SourceRun,
    package: PackageDecoder,
    vocab: int,
    *,
    runtime: RuntimeCheck,
    on_layers: Callable[[int], None] = lambda _count: None,
    on_slice: Callable[[], None] = lambda: None,
) -> Fidelity:
    """Compare a package with its source on every position that has a next token.

    Args:
        run: Of the source.
        package: The package.
        vocab: Rows of the head.
        runtime: What onnxruntime-genai computed; must agree with the package's parts.
        on_layers: Told the number of blocks of the package that are done.
        on_slice: Called after each of `head_slices`.

    Raises:
        VerificationError: The generation loop and the parts disagree, or predictions of either
            side are not finite numbers.
    """
    sample = run.sample
    states = package.hidden_states([runtime.prompt, *sample.all_windows], on_layers)
    prompt, hidden = states[0][-1:], _predicting(states[1:])
    targets = np.concatenate([window[1:] for window in sample.all_windows])
    statistics = LogitStatistics(targets)
    last = np.empty(vocab, dtype=np.float32)
    calls = _CallLogits(sample)
    for start, stop in head_slices(vocab, len(targets)):
        expected = run.hidden @ run.reference.head_rows(start, stop).T
        head = package.head(start, stop)
        actual = head(hidden)
        last[start:stop] = head(prompt)[0]
        statistics.add(start, expected, actual)
        calls.add(start, expected, actual)
        on_slice()
    _require_finite("source", statistics.surprise_reference)
    _require_finite("new package", statistics.surprise_package)
    _check_runtime_logits(last, runtime)
    return Fidelity(
        reference="float32 forward pass in numpy over the weights dequantized by gguf",
        tokens=len(targets),
        perplexity_source=float(np.exp(statistics.surprise_reference.mean())),
        perplexity_package=float(np.exp(statistics.surprise_package.mean())),
        kl_mean=max(0.0, float(statistics.kl.mean())),
        top1_agreement=float(statistics.agreement.mean()),
        top1_tied_agreement=float(statistics.tied_agreement.mean()),
        perplexity_change_error=_change_error(statistics),
        tokenizer_texts=runtime.tokenizer_texts,
        tool_calls=len(sample.calls.picks),
        tool_call_agreement=calls.agreement(),
    )


def _change_error(statistics: LogitStatistics) -> float:
    """Standard error of the relative change of perplexity, from differences by position."""
    differences = statistics.surprise_package - statistics.surprise_reference
    error = differences.std(ddof=1) / len(differences) ** 0.5
    return float(error * np.exp(differences.mean()))


def head_slices(vocab: int, positions: int) -> list[tuple[int, int]]:
    """Slices of the vocabulary whose logits fit into the memory of the check."""
    step = max(1, min(_MAX_SLICE, _SLICE_LOGIT_BYTES // (4 * max(positions, 1))))
    return [(start, min(start + step, vocab)) for start in range(0, vocab, step)]


def _predicting(states: Sequence[Floats]) -> Floats:
    """The states that have a next token, of all windows."""
    return np.concatenate([state[:-1] for state in states])


class _CallLogits:
    """Collects the logits of the candidates of every pick, for both sides."""

    def __init__(self, sample: Sample) -> None:
        offsets = np.cumsum([0, *(len(window) - 1 for window in sample.all_windows)])
        first = len(sample.windows)
        picks = sample.calls.picks
        self._rows = np.array([offsets[first + p.window] + p.position for p in picks], dtype=int)
        self._candidates = np.array([pick.candidates for pick in picks], dtype=int)
        self._logits = np.zeros((2, *self._candidates.shape), dtype=np.float32)

    def add(self, start: int, expected: Floats, actual: Floats) -> None:
        """Take the logits of a slice of the vocabulary."""
        if not len(self._rows):
            return
        columns = self._candidates - start
        inside = (columns >= 0) & (columns < expected.shape[1])
        rows = np.broadcast_to(self._rows[:, None], columns.shape)
        for side, logits in enumerate((expected, actual)):
            self._logits[side][inside] = logits[rows[inside], columns[inside]]

    def agreement(self) -> float | None:
        """Share of picks on which both agree, ties included, `None` without picks."""
        if not len(self._rows):
            return None
        expected, actual = self._logits
        at_pick = np.take_along_axis(expected, picked(actual)[:, None], axis=1)[:, 0]
        return float((expected.max(axis=1) - at_pick <= TIE_NATS).mean())


def _require_finite(whose: str, surprise: npt.NDArray[np.float64]) -> None:
    """Refuse what no threshold can be held against; `max` and comparisons let NaN pass."""
    if not np.isfinite(surprise).all() or not np.isfinite(np.exp(surprise.mean())):
        raise VerificationError(
            f"The {whose} predicts the sample text with probabilities that are not finite numbers."
        )


def _check_runtime_logits(last: Floats, runtime: RuntimeCheck) -> None:
    worst = float(np.abs(last - runtime.logits).max())
    if not worst <= _LAST_LOGIT_TOLERANCE * max(1.0, float(np.abs(last).max())):
        raise VerificationError(
            "onnxruntime-genai computes other logits than onnxruntime does part by part"
            f" (by {worst:.3g})."
        )
