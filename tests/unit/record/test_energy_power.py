"""Energy of windows from sampled power against curves whose integral is known."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.clock import NS_PER_S
from edgeagent.record.energy import Invalid
from edgeagent.record.energy.curve import EnergyCurve
from edgeagent.record.energy.power import power_curve
from edgeagent.record.samples import (
    ReadFailure,
    Sample,
    SampleKind,
    Scope,
    SourceInfo,
    SourceState,
)


def info(**changes: object) -> SourceInfo:
    fields = {
        "source": "ina3221:VDD_IN",
        "quantity": "power_w",
        "kind": SampleKind.SAMPLED,
        "scope": Scope.MODULE,
        "interval_s": 0.1,
    }
    return SourceInfo.model_validate(fields | changes)


def sample(t_s: float, value: float) -> Sample:
    return Sample(
        source="ina3221:VDD_IN", t_ns=round(t_s * NS_PER_S), width_ns=9_000_000, value=value
    )


def curve(
    *pairs: tuple[float, float], failures: dict[float, SourceState] | None = None, **changes: object
) -> EnergyCurve:
    failed = [
        ReadFailure(source="ina3221:VDD_IN", t_ns=round(t_s * NS_PER_S), state=state, reason="no")
        for t_s, state in (failures or {}).items()
    ]
    return power_curve(info(**changes), [sample(*pair) for pair in pairs], failed)


def sampled(power_w: Callable[[float], float], until_s: float, seed: int = 1) -> list[Sample]:
    """Read at 10 Hz with jitter of 20 ms, each reading in the file once or twice."""
    generator = np.random.default_rng(seed)
    times = np.arange(0, until_s, 0.1) + generator.uniform(-0.02, 0.02, round(until_s / 0.1))
    found = [sample(t_s, power_w(t_s)) for t_s in (0.0, *times[1:], until_s)]
    return found + found[::7]


def energy(found: EnergyCurve, t0_s: float, t1_s: float) -> float | Invalid:
    result = found.windows(np.array([round(t0_s * NS_PER_S)]), np.array([round(t1_s * NS_PER_S)]))
    reason = result.reason(0)
    return result.energy_nj[0] / NS_PER_S if reason is None else reason


def test_trapezoid_with_interpolated_edges() -> None:
    found = curve((0, 10), (0.1, 20), (0.2, 20))
    assert energy(found, 0, 0.2) == pytest.approx(1.5 + 2.0)
    assert energy(found, 0.05, 0.1) == pytest.approx((15 + 20) / 2 * 0.05)
    assert energy(found, 0.025, 0.075) == pytest.approx(15 * 0.05)


CURVES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    # Power and its integral from 0.
    "constant": (lambda t: 7.0, lambda t: 7.0 * t),
    "ramp": (lambda t: 2.0 + 0.3 * t, lambda t: 2.0 * t + 0.15 * t * t),
    "sine": (
        lambda t: 8.0 + 4.0 * math.sin(2 * math.pi * t / 1.7),
        lambda t: 8.0 * t + 4.0 * 1.7 / (2 * math.pi) * (1 - math.cos(2 * math.pi * t / 1.7)),
    ),
    "step": (lambda t: 3.0 if t < 20 else 11.0, lambda t: 3.0 * t + 8.0 * max(0.0, t - 20)),
}


@pytest.mark.parametrize("name", CURVES)
def test_windows_with_enough_readings_are_right_to_one_percent(name: str) -> None:
    power_w, integral_j = CURVES[name]
    found = power_curve(info(), sampled(power_w, 60))
    starts = np.arange(0.5, 50, 0.37)
    # An unknown step within the window costs half an interval of it, whatever the method.
    unknown_j = 0.5 * 8.0 * 0.12 if name == "step" else 0.0
    for length_s in (1.2, 3.0, 9.7):
        t0_ns = np.rint(starts * NS_PER_S).astype(np.int64)
        windows = found.windows(t0_ns, t0_ns + round(length_s * NS_PER_S))
        for index, t0_s in enumerate(starts):
            expected = integral_j(t0_s + length_s) - integral_j(t0_s)
            assert windows.pool(index).is_resolved
            assert windows.pool(index).joules == pytest.approx(expected, rel=0.01, abs=unknown_j)


def test_power_that_steps_at_the_edges_of_windows_is_right_to_a_thousandth() -> None:
    """Phases of 15, 8 and 3 W; interpolation across the steps would be wrong by several percent."""
    generator = np.random.default_rng(4)
    lengths_s = generator.uniform(1.2, 3.0, 60)
    edges_s = np.concatenate([[0.03], 0.03 + np.cumsum(lengths_s)])
    powers_w = [15.0, 8.0, 3.0] * 20

    def power_w(t_s: float) -> float:
        phase = int(np.searchsorted(edges_s, t_s, side="right")) - 1
        return powers_w[min(max(phase, 0), 59)]

    edges_ns = np.rint(edges_s * NS_PER_S).astype(np.int64)
    samples = sampled(power_w, float(edges_s[-1]) + 1)
    split = power_curve(info(), samples, edges_ns=edges_ns).windows(edges_ns[:-1], edges_ns[1:])
    plain = power_curve(info(), samples).windows(edges_ns[:-1], edges_ns[1:])
    errors = [
        np.abs(found.energy_nj / NS_PER_S / (powers_w * lengths_s) - 1) for found in (split, plain)
    ]
    assert errors[0].max() < 1e-3
    assert errors[1].max() > 0.03
    whole = power_curve(info(), samples, edges_ns=edges_ns).windows(edges_ns[:1], edges_ns[-1:])
    assert split.energy_nj.sum() == whole.energy_nj[0]


def test_split_follows_a_ramp_and_spans_shorter_than_an_interval_are_interpolated() -> None:
    pairs = [(t / 10, 2.0 + t / 10) for t in range(21)]
    edges_ns = np.array([0.52, 1.23, 1.26, 1.49]) * NS_PER_S
    found = power_curve(
        info(), [sample(*pair) for pair in pairs], edges_ns=edges_ns.astype(np.int64)
    )
    assert energy(found, 0.52, 1.23) == pytest.approx(0.71 * (2 + 0.875))
    assert energy(found, 1.23, 1.26) == pytest.approx(0.03 * (2 + 1.245))
    assert energy(found, 0, 2) == pytest.approx(6.0)


@pytest.mark.parametrize("edge_s", [-1.0, 0.0, 0.3, 1.0, 2.0])
def test_edges_at_readings_and_outside_of_them_change_nothing(edge_s: float) -> None:
    pairs = [(t / 10, 3.0 + t % 3) for t in range(11)]
    edges_ns = np.array([round(edge_s * NS_PER_S)])
    found = power_curve(info(), [sample(*pair) for pair in pairs], edges_ns=edges_ns)
    assert found.e_nj.tolist() == curve(*pairs).e_nj.tolist()


def test_edges_within_a_hole_leave_it_a_hole() -> None:
    pairs = [(t / 10, 5.0) for t in range(11)]
    failed = ReadFailure(
        source="ina3221:VDD_IN", t_ns=450_000_000, state=SourceState.STALE, reason="no"
    )
    edges_ns = np.array([430_000_000, 470_000_000])
    found = power_curve(info(), [sample(*pair) for pair in pairs], [failed], edges_ns)
    assert energy(found, 0.43, 0.47) is Invalid.READ_FAILED
    assert energy(found, 0.5, 1.0) == pytest.approx(2.5)


def test_noise_averages_out() -> None:
    generator = np.random.default_rng(3)
    found = power_curve(info(), sampled(lambda _: 5.0 + generator.normal(0, 0.5), 400))
    assert energy(found, 1, 399) == pytest.approx(5.0 * 398, rel=0.01)


def test_negative_readings_are_kept_because_offsets_are_symmetric() -> None:
    found = curve((0, -0.04), (0.1, 0.04), (0.2, -0.04), (0.3, 0.04))
    assert energy(found, 0, 0.3) == pytest.approx(0.0, abs=1e-9)
    assert energy(found, 0, 0.05) == pytest.approx(-0.001)


def test_a_failed_reading_is_not_bridged() -> None:
    pairs = [(t / 10, 5.0) for t in range(11)]
    found = curve(*pairs, failures={0.55: SourceState.STALE})
    assert energy(found, 0, 0.5) == pytest.approx(2.5)
    assert energy(found, 0.6, 1.0) == pytest.approx(2.0)
    assert energy(found, 0, 1) is Invalid.READ_FAILED
    assert energy(found, 0.51, 0.52) is Invalid.READ_FAILED


def test_a_charging_battery_is_marked_as_such() -> None:
    pairs = [(float(t), 9.0) for t in range(10)]
    found = curve(*pairs, failures={4.5: SourceState.NOT_DISCHARGING}, interval_s=1.0)
    assert energy(found, 0, 9) is Invalid.NOT_DISCHARGING
    assert energy(found, 5, 9) == pytest.approx(36)


@pytest.mark.parametrize(("hole_s", "known"), [(0.45, True), (0.55, False)])
def test_a_hole_of_more_than_five_intervals_is_not_bridged(hole_s: float, known: bool) -> None:
    pairs = [(t / 10, 5.0) for t in range(11)]
    pairs += [(1.0 + hole_s + t / 10, 5.0) for t in range(11)]
    found = energy(curve(*pairs), 0, 2)
    assert found == pytest.approx(10) if known else found is Invalid.GAP


def test_readings_beyond_the_largest_power_are_not_believed() -> None:
    pairs = [(t / 10, 500.0 if t == 5 else 5.0) for t in range(11)]
    found = curve(*pairs, max_power_w=60.0)
    assert energy(found, 0, 0.4) == pytest.approx(2.0)
    assert energy(found, 0, 1) is Invalid.IMPOSSIBLE
    assert energy(found, 0.6, 1) == pytest.approx(2.0)


def test_repeated_values_of_a_slow_source_do_not_count_as_readings() -> None:
    pairs = [(t / 10, 5.0) for t in range(201)]  # polled at 10 Hz, new once a second
    slow, fast = curve(*pairs, interval_s=1.0), curve(*pairs, interval_s=None)
    edges = np.array([0]), np.array([5 * NS_PER_S])
    readings = slow.windows(*edges).readings
    assert readings is not None
    assert readings[0] in (5, 6)
    assert not slow.windows(*edges).pool(0).is_resolved
    assert fast.windows(*edges).readings == 50


@given(
    powers=st.lists(st.floats(-2, 60), min_size=3, max_size=30),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
def test_adjacent_windows_add_up_exactly(powers: list[float], cuts: list[float]) -> None:
    found = curve(*((index * 0.1, power_w) for index, power_w in enumerate(powers)))
    end_ns = int(found.t_ns[-1])
    edges = np.array(sorted({0, end_ns, *(round(cut * end_ns) for cut in cuts)}))
    parts, whole = found.windows(edges[:-1], edges[1:]), found.windows(edges[:1], edges[-1:])
    assert parts.energy_nj.sum() == whole.energy_nj[0]
    expected = sum((a + b) / 2 for a, b in itertools.pairwise(powers)) * 0.1
    assert whole.energy_nj[0] / NS_PER_S == pytest.approx(expected, abs=1e-6)


def test_large_runs_take_seconds() -> None:
    """100,000 readings and 10,000 windows take well under a second; ten leave room for load."""
    samples = [sample(index / 10, 5.0 + index % 7) for index in range(100_000)]
    t0_ns = np.arange(10_000, dtype=np.int64) * NS_PER_S // 2
    begin_s = time.process_time()
    windows = power_curve(info(), samples).windows(t0_ns, t0_ns + NS_PER_S // 3)
    assert time.process_time() - begin_s < 10
    assert not windows.code.any()
