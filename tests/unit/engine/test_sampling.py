"""Choosing tokens: the nucleus, repeatability, likelihoods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.engine.protocol import DecodeParams
from edgeagent.engine.sampling import Logits, Sampler, log_probability
from edgeagent.errors import EngineError


def softmax(logits: Logits, temperature: float = 1.0) -> np.ndarray:
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


def drawn(logits: Logits, count: int, **params: float) -> list[int]:
    sampler = Sampler(DecodeParams(**params))  # type: ignore[arg-type]
    return [sampler.choose(logits) for _ in range(count)]


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40),
    st.floats(0.2, 2),
    st.floats(1e-6, 1),
)
def test_only_the_smallest_set_that_reaches_the_mass_is_drawn_from(
    values: list[float], temperature: float, top_p: float
) -> None:
    logits = np.asarray(values, dtype=np.float32)
    probabilities = np.sort(softmax(logits, temperature))[::-1]
    # Tokens as likely as the last one of the nucleus may stand in for it; sums are rounded.
    size = min(int((np.cumsum(probabilities) < top_p - 1e-12).sum()), len(values) - 1)
    least = probabilities[size]
    for token in drawn(logits, 20, temperature=temperature, top_p=top_p):
        assert softmax(logits, temperature)[token] >= least * (1 - 1e-9)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = np.asarray([2.0, 1.0, 0.0, -np.inf, 0.5], dtype=np.float32)
    for top_p in (1.0, 0.999999):
        counts = np.bincount(drawn(logits, 4000, temperature=1.0, top_p=top_p), minlength=5)
        assert counts[3] == 0
        np.testing.assert_allclose(counts / 4000, softmax(logits), atol=0.03)


def test_the_whole_vocabulary_is_not_sorted_for_a_nucleus(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(1).normal(0, 3, 150_000).astype(np.float32)
    sizes: list[int] = []
    argsort = np.argsort

    def watched(values: np.ndarray) -> np.ndarray:
        sizes.append(len(values))
        return argsort(values)

    monkeypatch.setattr(np, "argsort", watched)
    drawn(logits, 1, temperature=0.7, top_p=0.95)
    assert sizes[0] < 75_000
    drawn(logits, 1, temperature=0.7)
    assert len(sizes) == 1


def test_a_seed_repeats_the_draw() -> None:
    logits = np.zeros(100, dtype=np.float32)
    one, same, other = (drawn(logits, 20, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_greedy_takes_the_best() -> None:
    assert drawn(np.asarray([0.0, 3.0, 1.0], dtype=np.float32), 2, temperature=0.0) == [1, 1]


def test_likelihoods_are_logarithms_of_the_softmax() -> None:
    logits = np.asarray([80.0, 79.0, -3.0, -np.inf], dtype=np.float32)
    found = [log_probability(logits, token) for token in range(4)]
    np.testing.assert_allclose(found[:3], np.log(softmax(logits)[:3]), rtol=1e-6)
    assert found[3] == -np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_chosen_from(value: float) -> None:
    logits = np.asarray([0.0, value], dtype=np.float32)
    with pytest.raises(EngineError, match="damaged"):
        drawn(logits, 1, temperature=0.0)
    with pytest.raises(EngineError, match="damaged"):
        log_probability(logits, 0)
