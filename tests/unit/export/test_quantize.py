"""The block quantizer against plain rounding, exact grids, and numbers at float32's edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeagent.errors import DamagedFileError
from edgeagent.export.quantize import Offset, QuantizedRows, Scheme, quantize_rows

SCHEMES = [
    Scheme(bits, block_len, offset, half_scales)
    for bits, block_len, offset, half_scales in itertools.product(
        (4, 8), (16, 32), Offset, (False, True)
    )
]
FULL_SCALES = [scheme for scheme in SCHEMES if not scheme.half_scales]
any_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=str)

weights_of_any_size = hnp.arrays(
    np.float32,
    (3, 64),
    elements=st.floats(-(2.0**127), 2.0**127, width=32)
    | st.floats(-2, 2, width=32)
    | st.sampled_from([0.0, 2.0**-149, -(2.0**-130), 1.5 * 2.0**127]),
)


def _plain_rounding(weights: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Round to nearest on the grid that just covers each block, in float64."""
    blocks = weights.astype(np.float64).reshape(len(weights), -1, scheme.block_len)
    low, high = blocks.min(axis=-1, keepdims=True), blocks.max(axis=-1, keepdims=True)
    if scheme.offset is Offset.NONE:
        scale, shift = np.maximum(high, -low) / (scheme.centre - 1), 0.0
        lowest, highest = -scheme.centre, scheme.centre - 1
    else:
        if scheme.offset is Offset.ZERO_POINT:
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        scale = (high - low) / scheme.highest
        shift = low
        lowest, highest = 0, scheme.highest
        if scheme.offset is Offset.ZERO_POINT:
            shift = scale * np.rint(np.divide(low, scale, out=np.zeros_like(low), where=scale > 0))
    steps = np.divide(blocks - shift, scale, out=np.zeros_like(blocks), where=scale > 0)
    return (np.rint(steps).clip(lowest, highest) * scale + shift).reshape(weights.shape)


def _block_errors(weights: np.ndarray, rounded: np.ndarray, scheme: Scheme) -> np.ndarray:
    difference = weights.astype(np.float64) - rounded
    return np.square(difference).reshape(len(weights), -1, scheme.block_len).sum(axis=-1)


def _assert_operands(result: QuantizedRows, scheme: Scheme) -> None:
    """Everything is what the operators of the runtime accept."""
    assert result.quants.dtype == np.uint8
    assert result.quants.max(initial=0) <= scheme.highest
    assert result.scales.dtype == np.float32
    assert np.isfinite(result.scales).all()
    assert (result.zero_points is not None) == (scheme.offset is Offset.ZERO_POINT)
    assert (result.corrections is not None) == (scheme.offset is Offset.CORRECTION)
    stored = [result.scales]
    if result.zero_points is not None:
        assert result.zero_points.max(initial=0) <= scheme.highest
    if result.corrections is not None:
        assert np.isfinite(result.corrections).all()
        stored.append(result.corrections)
    if scheme.half_scales:
        for values in stored:
            np.testing.assert_array_equal(values.astype(np.float16).astype(np.float32), values)


@pytest.mark.parametrize("scheme", FULL_SCALES, ids=str)
@settings(max_examples=30, deadline=None)
@given(weights=weights_of_any_size)
def test_no_block_is_worse_than_plain_rounding(scheme: Scheme, weights: np.ndarray) -> None:
    result = quantize_rows(weights, scheme)
    _assert_operands(result, scheme)
    found = _block_errors(weights, result.to_float(), scheme)
    plain = _block_errors(weights, _plain_rounding(weights, scheme), scheme)
    # Stored scales and the sums of the search are float32, which costs up to 1e-4 of an error that
    # is itself a difference of large numbers; a grid that fits a block exactly
    # leaves what rounding the weights leaves; scales of the smallest weights are denormal.
    peaks = np.abs(weights.astype(np.float64)).reshape(*found.shape, -1).max(axis=-1)
    allowance = scheme.block_len * (np.square(peaks * 1e-6) + 1e-42**2)
    assert (found <= plain * (1 + 1e-3) + allowance).all()


@any_scheme
def test_searching_pays(scheme: Scheme) -> None:
    weights = np.random.default_rng(1).standard_normal((64, 512)).astype(np.float32)
    result = quantize_rows(weights, scheme)
    plain = _block_errors(weights, _plain_rounding(weights, scheme), scheme).sum()
    wins = {4: 0.92, 8: 0.99}[scheme.bits]
    assert result.squared_error < wins * plain


@any_scheme
def test_reports_the_error_of_what_it_returns(scheme: Scheme) -> None:
    generator = np.random.default_rng(2)
    weights = generator.standard_normal((40, 256)).astype(np.float32) * np.float32(0.03)
    importance = generator.exponential(size=256).astype(np.float32)
    for factors in (None, importance):
        result = quantize_rows(weights, scheme, importance=factors)
        _assert_operands(result, scheme)
        weighting = 1.0 if factors is None else factors.astype(np.float64)
        difference = weights.astype(np.float64) - result.to_float()
        assert result.squared_error == pytest.approx((difference**2 * weighting).sum(), rel=1e-3)
        squares = (weights.astype(np.float64) ** 2 * weighting).sum()
        assert result.squared_sum == pytest.approx(squares, rel=1e-6)
        assert result.relative_error == result.squared_error / result.squared_sum


@pytest.mark.parametrize("offset", list(Offset))
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_finds_every_grid_of_4_bits(offset: Offset, data: st.DataObject) -> None:
    zero_point = 8
    if offset is Offset.ZERO_POINT:
        zero_point = data.draw(st.integers(0, 15))
    quants = data.draw(hnp.arrays(np.int8, (2, 32), elements=st.integers(0, 15)))
    scales = data.draw(hnp.arrays(np.float16, (2, 1), elements=st.floats(2.0**-10, 64, width=16)))
    weights = (quants - np.float32(zero_point)) * scales.astype(np.float32)
    if offset is Offset.CORRECTION:
        weights += np.float32(data.draw(st.floats(-1, 1, width=16))) * scales
    found = quantize_rows(weights, Scheme(4, 32, offset)).to_float()
    np.testing.assert_allclose(found, weights, rtol=1e-5, atol=1e-4 * float(scales.max()))


@any_scheme
def test_zero_and_constant_blocks(scheme: Scheme) -> None:
    weights = np.zeros((4, 64), dtype=np.float32)
    weights[1] = 0.75
    weights[2, :32] = -3.0
    weights[3, 5] = 1e-3
    result = quantize_rows(weights, scheme)
    _assert_operands(result, scheme)
    # A float16 scale keeps 11 bits.
    precision = 1e-3 if scheme.half_scales else 1e-6
    np.testing.assert_allclose(result.to_float(), weights, rtol=precision, atol=precision * 1e-2)
    assert not result.to_float()[0].any()
    assert quantize_rows(weights[:1], scheme).relative_error == 0


@any_scheme
@pytest.mark.parametrize("size", [1e-45, 1e-41, 1e-39, 1e-20, 1e20, 3e38])
def test_weights_at_the_edges_of_float32(scheme: Scheme, size: float) -> None:
    generator = np.random.default_rng(3)
    weights = (generator.uniform(-1, 1, (4, 64)) * size).astype(np.float32)
    importance = generator.choice([0, 1e-38, 1, 1e38], 64).astype(np.float32)
    for factors in (None, importance):
        result = quantize_rows(weights, scheme, importance=factors)
        _assert_operands(result, scheme)
        assert np.isfinite(result.to_float()).all()
        assert np.isfinite(result.squared_error)
    if not scheme.half_scales and size > 1e-40:
        assert quantize_rows(weights, scheme).relative_error < 0.02


def test_half_scales_cost_little() -> None:
    weights = np.random.default_rng(4).standard_normal((64, 512)).astype(np.float32)
    for offset in Offset:
        full, half = (
            quantize_rows(weights, Scheme(4, 32, offset, half_scales)).relative_error
            for half_scales in (False, True)
        )
        assert half == pytest.approx(full, rel=2e-3)


def test_more_freedom_never_costs() -> None:
    weights = np.random.default_rng(5).standard_normal((64, 512)).astype(np.float32)
    errors = [quantize_rows(weights, Scheme(4, 32, offset)).squared_error for offset in Offset]
    assert errors == sorted(errors, reverse=True)
    by_length = [
        quantize_rows(weights, Scheme(4, size)).squared_error for size in (16, 32, 64, 128)
    ]
    assert by_length == sorted(by_length)


@any_scheme
def test_important_columns_are_kept_better(scheme: Scheme) -> None:
    generator = np.random.default_rng(6)
    weights = generator.standard_normal((64, 256)).astype(np.float32)
    importance = generator.permutation(np.repeat([0.01, 10], 128)).astype(np.float32)
    even = quantize_rows(weights, scheme).to_float() - weights
    uneven = quantize_rows(weights, scheme, importance=importance).to_float() - weights
    important = importance > 1
    assert np.square(uneven[:, important]).sum() < 0.95 * np.square(even[:, important]).sum()
    assert (np.square(uneven) * importance).sum() < (np.square(even) * importance).sum()


def test_blocks_without_importance_are_treated_evenly() -> None:
    weights = np.random.default_rng(7).standard_normal((8, 64)).astype(np.float32)
    importance = np.repeat(np.float32([0, 2]), 32)
    scheme = Scheme(4, 32, Offset.ZERO_POINT)
    plain, weighted = (
        quantize_rows(weights, scheme),
        quantize_rows(weights, scheme, importance=importance),
    )
    np.testing.assert_array_equal(plain.quants, weighted.quants)
    assert weighted.squared_sum == pytest.approx(2 * np.square(weights[:, 32:]).sum(), rel=1e-5)


@any_scheme
def test_the_number_of_threads_changes_nothing(scheme: Scheme) -> None:
    weights = np.random.default_rng(8).standard_normal((300, 512)).astype(np.float32)
    one, four = (quantize_rows(weights, scheme, threads=threads) for threads in (1, 4))
    np.testing.assert_array_equal(one.quants, four.quants)
    np.testing.assert_array_equal(one.scales, four.scales)
    np.testing.assert_array_equal(one.to_float(), four.to_float())
    assert one.squared_error == four.squared_error


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    weights = np.ones((4, 64), dtype=np.float32)
    weights[2, 9] = value
    with pytest.raises(DamagedFileError, match="embedding holds a weight"):
        quantize_rows(weights, Scheme(4, 32), source="embedding")


@pytest.mark.parametrize(
    ("importance", "message"),
    [(np.ones(63), "shape"), (np.full(64, -1.0), "negative"), (np.full(64, np.nan), "finite")],
)
def test_unusable_importance_is_refused(importance: np.ndarray, message: str) -> None:
    weights = np.ones((4, 64), dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        quantize_rows(weights, Scheme(4, 32), importance=importance.astype(np.float32))


def test_shapes_and_schemes_without_an_operator_are_refused() -> None:
    with pytest.raises(ValueError, match="no blocks of 128"):
        quantize_rows(np.ones((4, 64), dtype=np.float32), Scheme(4, 128))
    with pytest.raises(ValueError, match="bits"):
        Scheme(5, 32)
    with pytest.raises(ValueError, match="block_len"):
        Scheme(4, 48)


def test_no_rows() -> None:
    result = quantize_rows(np.empty((0, 64), dtype=np.float32), Scheme(4, 32, Offset.ZERO_POINT))
    assert result.to_float().shape == (0, 64)
    assert result.relative_error == 0
