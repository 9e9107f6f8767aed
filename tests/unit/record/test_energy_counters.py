"""Energy of windows from counters: interpolation, wraps, gaps, resets and two readers at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.clock import NS_PER_S
from edgeagent.record.energy import Invalid, Windows
from edgeagent.record.energy.counters import counter_curve
from edgeagent.record.energy.curve import EnergyCurve
from edgeagent.record.samples import (
    ReadFailure,
    Sample,
    SampleKind,
    Scope,
    SourceInfo,
    SourceState,
)

AMD_RANGE_J = 65532.610987
INTEL_RANGE_J = 262143.328850


def info(**changes: object) -> SourceInfo:
    fields = {
        "source": "rapl:package-0",
        "quantity": "energy_j",
        "kind": SampleKind.COUNTER,
        "scope": Scope.PACKAGE,
        "counter_range": AMD_RANGE_J,
    }
    return SourceInfo.model_validate(fields | changes)


def curve(
    *pairs: tuple[float, float],
    failures: dict[float, SourceState] | None = None,
    width_ns: int = 1000,
    **changes: object,
) -> EnergyCurve:
    """Build from pairs of seconds and joules."""
    source = info(**changes)
    samples = [
        Sample(source=source.source, t_ns=round(t_s * NS_PER_S), width_ns=width_ns, value=value)
        for t_s, value in pairs
    ]
    failed = [
        ReadFailure(source=source.source, t_ns=round(t_s * NS_PER_S), state=state, reason="no")
        for t_s, state in (failures or {}).items()
    ]
    return counter_curve(source, samples, failed)


def window(found: EnergyCurve, t0_s: float, t1_s: float) -> Windows:
    return found.windows(np.array([round(t0_s * NS_PER_S)]), np.array([round(t1_s * NS_PER_S)]))


def energy(found: EnergyCurve, t0_s: float, t1_s: float) -> float | Invalid:
    """Return joules, or why they are not known."""
    result = window(found, t0_s, t1_s)
    reason = result.reason(0)
    return result.energy_nj[0] / NS_PER_S if reason is None else reason


def test_edges_are_interpolated() -> None:
    found = curve((0, 100), (1, 110), (2, 130), (3, 130))
    assert energy(found, 0, 3) == pytest.approx(30)
    assert energy(found, 0.5, 1.25) == pytest.approx(5 + 5)
    assert energy(found, 1.25, 1.75) == pytest.approx(10)
    assert energy(found, 2, 3) == 0.0
    assert energy(found, 1, 1) == 0.0


@pytest.mark.parametrize("wrap", [AMD_RANGE_J, INTEL_RANGE_J])
def test_one_wrap_is_undone(wrap: float) -> None:
    found = curve((0, wrap - 10), (1, 5), (2, 20), counter_range=wrap)
    assert energy(found, 0, 2) == pytest.approx(30)
    assert energy(found, 0, 0.5) == pytest.approx(7.5)


def test_many_wraps_over_a_long_window_add_up() -> None:
    found = curve(*((t_s, (65.0 * t_s) % AMD_RANGE_J) for t_s in range(0, 7201, 30)))
    assert energy(found, 10, 7195) == pytest.approx(65.0 * 7185)


def test_a_gap_that_leaves_room_for_another_wrap_is_not_known() -> None:
    assert energy(curve((0, 10), (60, 20)), 0, 60) == pytest.approx(10)
    assert energy(curve((0, 10), (70, 20)), 0, 70) is Invalid.WRAPS
    assert energy(curve((0, 10), (70, 20), max_power_w=500.0), 0, 70) == pytest.approx(10)
    assert energy(curve((0, 10), (70, 20), counter_range=INTEL_RANGE_J), 0, 70) == pytest.approx(10)
    assert energy(curve((0, 10), (1, 11), (100, 20)), 0, 1) == pytest.approx(1)


def test_a_reset_counter_is_not_a_wrap_and_both_sides_of_it_stay_known() -> None:
    found = curve((0, 29_990), (1, 30_000), (2, 5), (3, 17))
    assert energy(found, 0, 1) == pytest.approx(10)
    assert energy(found, 0, 2) is Invalid.RESET
    assert energy(found, 1.2, 1.3) is Invalid.RESET
    assert energy(found, 2, 3) == pytest.approx(12)


def test_without_a_range_a_falling_counter_was_reset() -> None:
    assert energy(curve((0, 1), (1, 3), counter_range=None), 0, 1) == pytest.approx(2)
    assert energy(curve((0, 3), (1, 1), counter_range=None), 0, 1) is Invalid.RESET


def test_a_gain_beyond_the_largest_power_is_impossible() -> None:
    found = curve((0, 0), (1, 5), (2, 500), (3, 505), counter_range=None, max_power_w=60.0)
    assert energy(found, 0, 1) == pytest.approx(5)
    assert energy(found, 0.5, 2.5) is Invalid.IMPOSSIBLE
    assert energy(found, 2, 3) == pytest.approx(5)


def test_one_low_reading_makes_what_follows_unknown_too() -> None:
    """Was the counter reset and rose to 120 J, or was the reading wrong? Nobody knows."""
    found = curve((0, 100), (1, 110), (2, 0), (3, 120), (4, 130))
    assert energy(found, 0, 1) == pytest.approx(10)
    assert energy(found, 2, 3) is Invalid.RESET
    assert energy(found, 3, 4) == pytest.approx(10)


def test_readings_outside_the_range_count_as_failed() -> None:
    found = curve((0, 10), (1, -3), (2, AMD_RANGE_J + 7), (3, 40))
    assert energy(found, 0, 3) == pytest.approx(30)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (SourceState.STALE, pytest.approx(20)),
        (SourceState.PERMISSION, pytest.approx(20)),
        (SourceState.ABSENT, Invalid.READ_FAILED),
        (SourceState.NOT_DISCHARGING, Invalid.NOT_DISCHARGING),
    ],
)
def test_a_failure_between_good_readings_harms_only_if_the_count_may_be_lost(
    state: SourceState, expected: object
) -> None:
    found = curve((0, 10), (1, 20), (3, 40), failures={2: state})
    assert energy(found, 1, 3) == expected
    assert energy(found, 0, 1) == pytest.approx(10)


@pytest.mark.parametrize("edges", [(-0.1, 1), (0, 2.1), (-1, -0.5), (5, 6)])
def test_a_window_that_readings_do_not_cover_is_not_known(edges: tuple[float, float]) -> None:
    assert energy(curve((0, 0), (1, 1), (2, 2)), *edges) is Invalid.NOT_COVERED


def test_too_few_readings_tell_nothing() -> None:
    assert energy(curve(), 0, 1) is Invalid.NOT_COVERED
    assert energy(curve((0, 1)), 0, 0) is Invalid.NOT_COVERED


def test_a_window_backwards_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="ends before"):
        energy(curve((0, 0), (1, 1)), 1, 0)


def test_duplicates_and_disorder_change_nothing() -> None:
    found = curve((2, 30), (0, 10), (1, 20), (1, 20), (0, 10))
    assert energy(found, 0, 2) == pytest.approx(20)


def test_two_readers_that_overlap_are_no_reset() -> None:
    """One read took 4 ms, its midpoint is after that of a short read which saw a later value."""
    slow = Sample(source="rapl:package-0", t_ns=1_001_000_000, width_ns=4_000_000, value=20.0)
    others = [
        Sample(source="rapl:package-0", t_ns=t_ns, width_ns=20_000, value=value)
        for t_ns, value in ((0, 10.0), (1_000_500_000, 20.04), (2_000_000_000, 31.0))
    ]
    found = counter_curve(info(), [slow, *others])
    assert energy(found, 0, 2) == pytest.approx(21)


def test_edges_tell_how_far_readings_are() -> None:
    found = curve((0, 0), (1, 10), (2, 20), width_ns=2000, interval_s=0.02)
    # 0.3 s to the reading at 0, 0.1 s to that at 2; half a width and one update each.
    assert window(found, 0.3, 1.9).edge_ns.tolist() == [400_000_000 + 2 * 1000 + 2 * 20_000_000]


def test_short_windows_are_not_resolved_by_a_counter_that_moves_once_a_millisecond() -> None:
    """Readings lie exactly at the edges, but each may be a millisecond old."""
    found = curve((0, 0), (1, 10), (1.015, 10.15), (1.045, 10.45), (2, 20), width_ns=0)
    assert not window(found, 1, 1.015).pool(0).is_resolved
    assert window(found, 1.015, 1.045).pool(0).is_resolved


def stepping(edges_ns: np.ndarray | None) -> EnergyCurve:
    """5 W until 2.03 s, then 20 W, read every 0.1 s; nobody read at the step."""
    samples = [
        Sample(
            source="rapl:package-0",
            t_ns=index * 100_000_000,
            width_ns=0,
            value=5 * index / 10 + 15 * max(0.0, index / 10 - 2.03),
        )
        for index in range(41)
    ]
    return counter_curve(info(), samples, edges_ns=edges_ns)


def test_a_step_at_a_known_edge_is_put_there() -> None:
    edges_ns = np.array([2_030_000_000])
    assert energy(stepping(edges_ns), 0, 2.03) == pytest.approx(10.15)
    assert energy(stepping(edges_ns), 2.03, 4) == pytest.approx(39.4)
    assert energy(stepping(edges_ns), 0, 4) == energy(stepping(None), 0, 4)
    assert energy(stepping(None), 0, 2.03) > 10.4
    # The knot at the edge is no reading: how well the edge is known stays what it was.
    assert window(stepping(edges_ns), 0, 2.03).edge_ns == window(stepping(None), 0, 2.03).edge_ns


@pytest.mark.parametrize("edges_s", [(-1.0, 0.02), (2.03, 2.13), (3.98, 9.0)])
def test_edges_without_neighbours_that_tell_the_power_leave_the_line_straight(
    edges_s: tuple[float, ...],
) -> None:
    edges_ns = np.array([round(edge_s * NS_PER_S) for edge_s in edges_s])
    for edge_s in edges_s:
        until_s = min(4.0, max(0.0, edge_s))
        straight = energy(stepping(None), 0, until_s)
        assert energy(stepping(edges_ns), 0, until_s) == pytest.approx(straight)


@given(
    gains=st.lists(st.floats(0, 60), min_size=2, max_size=40),
    start=st.floats(0, AMD_RANGE_J - 1),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
def test_adjacent_windows_add_up_to_the_whole_exactly(
    gains: list[float], start: float, cuts: list[float]
) -> None:
    value, pairs = start, [(0.0, start)]
    for index, gain in enumerate(gains):
        value = (value + gain) % AMD_RANGE_J
        pairs.append(((index + 1) * 0.1, value))
    found = curve(*pairs)
    end_ns = int(found.t_ns[-1])
    edges = np.array(sorted({0, end_ns, *(round(cut * end_ns) for cut in cuts)}))
    parts = found.windows(edges[:-1], edges[1:])
    whole = found.windows(edges[:1], edges[-1:])
    assert not parts.code.any()
    assert parts.energy_nj.sum() == whole.energy_nj[0]
    assert whole.energy_nj[0] / NS_PER_S == pytest.approx(sum(gains), abs=1e-6)
