"""Statistics of inputs, and that they lower the error of products they were made for."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.export.quantize import (
    InputStatistics,
    Offset,
    Scheme,
    calibration_text,
    quantize_rows,
)
from edgeagent.export.verify.sample import sample_text


def test_mean_squares_do_not_depend_on_how_the_text_is_cut() -> None:
    inputs = np.random.default_rng(1).standard_normal((100, 64)).astype(np.float32)
    whole, pieces = InputStatistics(), InputStatistics()
    whole.observe("up", inputs)
    for piece in np.split(inputs, [7, 7, 60]):
        pieces.observe("up", piece)
    expected = np.square(inputs.astype(np.float64)).mean(axis=0)
    for statistics in (whole, pieces):
        importance = statistics.importance("up")
        assert importance is not None
        assert importance.dtype == np.float32
        np.testing.assert_allclose(importance, expected, rtol=1e-6)


def test_inputs_are_kept_apart() -> None:
    statistics = InputStatistics()
    statistics.observe("up", np.full((2, 4), 3, dtype=np.float32))
    statistics.observe("down", np.full((1, 8), 2, dtype=np.float32))
    np.testing.assert_array_equal(statistics.importance("up"), np.full(4, 9))
    np.testing.assert_array_equal(statistics.importance("down"), np.full(8, 4))
    with pytest.raises(ValueError, match="up had 4 columns and now has 8"):
        statistics.observe("up", np.ones((1, 8), dtype=np.float32))


def test_nothing_usable_is_none() -> None:
    statistics = InputStatistics()
    statistics.observe("empty", np.ones((0, 4), dtype=np.float32))
    statistics.observe("overflow", np.array([[1, np.inf]], dtype=np.float32))
    statistics.observe("huge", np.array([[1, 1e30]], dtype=np.float32))
    for name in ("never", "empty", "overflow", "huge"):
        assert statistics.importance(name) is None


@pytest.mark.parametrize("offset", list(Offset))
def test_products_of_other_inputs_of_the_same_kind_get_closer(offset: Offset) -> None:
    generator = np.random.default_rng(2)
    spread = np.exp(1.5 * generator.standard_normal(256)).astype(np.float32)
    weights = generator.standard_normal((64, 256)).astype(np.float32)
    seen, unseen = (
        generator.standard_normal((300, 256)).astype(np.float32) * spread for _ in range(2)
    )
    statistics = InputStatistics()
    statistics.observe("x", seen)
    scheme = Scheme(4, 32, offset)
    plain, aware = (
        np.square(
            unseen @ (quantize_rows(weights, scheme, importance=factors).to_float() - weights).T
        )
        for factors in (None, statistics.importance("x"))
    )
    assert aware.mean() < 0.8 * plain.mean()


def test_calibration_and_verification_share_no_sentence() -> None:
    lines = {line for line in calibration_text().splitlines() if len(line) > 40}
    assert len(lines) > 15
    assert not lines & set(sample_text().splitlines())
