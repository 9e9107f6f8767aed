"""Compare a package with its source: perplexity, KL divergence and top-1 agreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeagent.errors import VerificationError
from edgeagent.export.verify.reference import ReferenceDecoder, Tokens
from edgeagent.export.verify.runtime import RuntimeCheck
from edgeagent.export.verify.session import PackageSession
from edgeagent.export.verify.statistics import LogitStatistics
from edgeagent.record.manifest import Fidelity

_WINDOW_TOKENS = 512
"""Context that predictions are compared in; a shorter context of the package shortens it."""
_PIECE_LOGIT_BYTES = 32 << 20
"""Logits of the package that are in memory at a time; a piece has as many positions as fit."""
_LAST_LOGIT_TOLERANCE = 1e-2
"""Largest difference between one row computed alone and in a batch; rounding leaves about 1e-4."""

MIN_TOP1_AGREEMENT = 0.955
MAX_KL_MEAN = 0.01
MAX_PERPLEXITY_CHANGE = 0.01


def sample_windows(
    text_tokens: Sequence[int], bos_id: int | None, context_len: int
) -> list[Tokens]:
    """Cut a tokenized text into windows that are run on their own.

    Args:
        text_tokens: The text.
        bos_id: Token in front of every window, `None` where the model expects none.
        context_len: Longest context of the package.
    """
    start = [] if bos_id is None else [bos_id]
    used = list(text_tokens)
    step = min(_WINDOW_TOKENS, context_len) - len(start)
    pieces = [used[at : at + step] for at in range(0, len(used), step)]
    return [np.array(start + piece, dtype=np.int64) for piece in pieces if len(start + piece) > 1]


def measure_fidelity(
    session: PackageSession,
    reference: ReferenceDecoder,
    windows: Sequence[Tokens],
    *,
    runtime: RuntimeCheck,
    on_tokens: Callable[[int], None],
) -> Fidelity:
    """Run both models on the windows and compare every prediction with a next token.

    Args:
        session: The package, logits at every position.
        reference: The source.
        windows: From `sample_windows`.
        runtime: What onnxruntime-genai computed; must agree with the session.
        on_tokens: Told the number of positions after each piece.

    Raises:
        VerificationError: The generation loop and the session disagree.
    """
    _check_runtime_logits(session, runtime)
    *_, states = reference.hidden_states(windows)
    piece = max(1, _PIECE_LOGIT_BYTES // (4 * len(runtime.logits)))
    compared: list[LogitStatistics] = []
    for tokens, hidden in zip(windows, states, strict=True):
        session.reset()
        for start in range(0, len(tokens) - 1, piece):
            stop = min(start + piece, len(tokens) - 1)
            statistics = LogitStatistics(tokens[start + 1 : stop + 1])
            package = session.logits(tokens[start:stop])
            for first, logits in reference.logits(hidden[start:stop]):
                statistics.add(first, logits, package[:, first : first + logits.shape[1]])
            compared.append(statistics)
            on_tokens(stop - start)
    return _summarize(compared, runtime.tokenizer_texts)


def check_thresholds(fidelity: Fidelity, package: Path) -> None:
    """Refuse a package that is not faithful.

    Raises:
        VerificationError: A threshold is missed.
    """
    missed = []
    if fidelity.top1_agreement < MIN_TOP1_AGREEMENT:
        missed.append(f"top-1 agreement {fidelity.top1_agreement:.3f} < {MIN_TOP1_AGREEMENT}")
    if fidelity.kl_mean > MAX_KL_MEAN:
        missed.append(f"KL divergence {fidelity.kl_mean:.4f} > {MAX_KL_MEAN}")
    if abs(fidelity.perplexity_change) > MAX_PERPLEXITY_CHANGE:
        missed.append(
            f"perplexity changed by {fidelity.perplexity_change:+.1%}, more than"
            f" {MAX_PERPLEXITY_CHANGE:.0%}"
        )
    if missed:
        raise VerificationError(
            f"The package for {package} does not predict like its source ({'; '.join(missed)});"
            " accept_low_fidelity keeps it all the same."
        )


def _check_runtime_logits(session: PackageSession, runtime: RuntimeCheck) -> None:
    session.reset()
    last = session.logits(runtime.prompt)[-1]
    worst = float(np.abs(last - runtime.logits).max())
    if not worst <= _LAST_LOGIT_TOLERANCE * max(1.0, float(np.abs(last).max())):
        raise VerificationError(
            f"onnxruntime-genai computes other logits than onnxruntime alone (by {worst:.3g})."
        )


def _summarize(compared: Sequence[LogitStatistics], tokenizer_texts: int) -> Fidelity:
    def joined(name: str) -> npt.NDArray[np.float64]:
        return np.concatenate([getattr(statistics, name) for statistics in compared])

    return Fidelity(
        reference="float32 forward pass in numpy over the weights dequantized by gguf",
        tokens=len(joined("kl")),
        perplexity_source=float(np.exp(joined("surprise_reference").mean())),
        perplexity_package=float(np.exp(joined("surprise_package").mean())),
        kl_mean=max(0.0, float(joined("kl").mean())),
        top1_agreement=float(joined("agreement").mean()),
        tokenizer_texts=tokenizer_texts,
    )
