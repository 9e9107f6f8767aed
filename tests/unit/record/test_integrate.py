"""Energy of windows from counter readings: interpolation, wraps, gaps and resets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.clock import NS_PER_S
from edgeagent.record.integrate import by_source, cpu_energy_j, integrate_counter
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo, SourceState

AMD_RANGE_J = 65532.610987
INTEL_RANGE_J = 262143.328850


def reading(t_s: float, value: float, source: str = "rapl:package-0") -> Sample:
    return Sample(source=source, t_ns=round(t_s * NS_PER_S), width_ns=1000, value=value)


def series(*pairs: tuple[float, float]) -> list[Sample]:
    return [reading(t_s, value) for t_s, value in pairs]


def energy(samples: list[Sample], t0_s: float, t1_s: float, wrap: float | None = AMD_RANGE_J):
    return integrate_counter(samples, wrap, round(t0_s * NS_PER_S), round(t1_s * NS_PER_S))


def test_edges_are_interpolated() -> None:
    samples = series((0, 100), (1, 110), (2, 130), (3, 130))
    assert energy(samples, 0, 3) == pytest.approx(30)
    assert energy(samples, 0.5, 1.25) == pytest.approx(5 + 5)
    assert energy(samples, 1.25, 1.75) == pytest.approx(10)
    assert energy(samples, 2, 3) == 0.0
    assert energy(samples, 1, 1) == 0.0


@pytest.mark.parametrize("wrap", [AMD_RANGE_J, INTEL_RANGE_J])
def test_one_wrap_is_undone(wrap: float) -> None:
    samples = series((0, wrap - 10), (1, 5), (2, 20))
    assert energy(samples, 0, 2, wrap) == pytest.approx(30)
    assert energy(samples, 0, 0.5, wrap) == pytest.approx(7.5)


def test_many_wraps_over_a_long_window_add_up() -> None:
    power_w = 65.0
    samples = series(*((t_s, (power_w * t_s) % AMD_RANGE_J) for t_s in range(0, 7201, 30)))
    assert energy(samples, 10, 7195) == pytest.approx(power_w * 7185)


def test_a_gap_that_leaves_room_for_another_wrap_is_not_measured() -> None:
    assert energy(series((0, 10), (60, 20)), 0, 60) == pytest.approx(10)
    assert energy(series((0, 10), (70, 20)), 0, 70) is None
    assert energy(series((0, 10), (70, 20)), 0, 70, INTEL_RANGE_J) == pytest.approx(10)
    assert energy(series((0, 10), (1, 11), (100, 20)), 0, 1) == pytest.approx(1)


def test_a_reset_counter_is_not_a_wrap() -> None:
    assert energy(series((0, 30000), (1, 5)), 0, 1) is None


def test_without_a_range_a_falling_counter_is_not_measured() -> None:
    assert energy(series((0, 1), (1, 3)), 0, 1, None) == 2
    assert energy(series((0, 3), (1, 1)), 0, 1, None) is None


@pytest.mark.parametrize("window", [(-0.1, 1), (0, 2.1), (-1, -0.5), (5, 6)])
def test_a_window_that_readings_do_not_cover_is_not_measured(window: tuple[float, float]) -> None:
    assert energy(series((0, 0), (1, 1), (2, 2)), *window) is None


def test_no_readings_no_number() -> None:
    assert energy([], 0, 1) is None


def test_a_window_backwards_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="ends before"):
        energy(series((0, 0), (1, 1)), 1, 0)


@given(
    gains=st.lists(st.floats(0, 60), min_size=2, max_size=40),
    start=st.floats(0, AMD_RANGE_J - 1),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
def test_adjacent_windows_add_up_to_the_whole(
    gains: list[float], start: float, cuts: list[float]
) -> None:
    value, samples = start, [reading(0, start)]
    for index, gain in enumerate(gains):
        value = (value + gain) % AMD_RANGE_J
        samples.append(reading((index + 1) * 0.1, value))
    end_ns = samples[-1].t_ns
    edges = sorted({0, end_ns, *(round(cut * end_ns) for cut in cuts)})
    parts = [
        integrate_counter(samples, AMD_RANGE_J, edges[i], edges[i + 1])
        for i in range(len(edges) - 1)
    ]
    assert None not in parts
    assert sum(part or 0.0 for part in parts) == pytest.approx(sum(gains), abs=1e-6)


def info(source: str, scope: Scope, state: SourceState = SourceState.OK) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=scope,
        counter_range=AMD_RANGE_J,
        state=state,
    )


def test_only_packages_are_added_up() -> None:
    sources = [
        info("rapl:package-0", Scope.PACKAGE),
        info("rapl:package-1", Scope.PACKAGE),
        info("rapl:psys", Scope.SYSTEM),
        info("rapl:dram-0", Scope.RAIL),
    ]
    samples = [
        reading(t_s, t_s * power_w, source)
        for t_s in (1, 0)  # out of order on purpose
        for source, power_w in {
            "rapl:package-0": 10,
            "rapl:package-1": 20,
            "rapl:psys": 100,
            "rapl:dram-0": 5,
        }.items()
    ]
    assert cpu_energy_j(sources, by_source(samples), 0, NS_PER_S) == pytest.approx(30)


def test_a_missing_socket_makes_the_sum_unknown() -> None:
    both = [info("rapl:package-0", Scope.PACKAGE), info("rapl:package-1", Scope.PACKAGE)]
    samples = by_source(series((0, 0), (1, 10)))
    assert cpu_energy_j(both[:1], samples, 0, NS_PER_S) == pytest.approx(10)
    assert cpu_energy_j(both, samples, 0, NS_PER_S) is None
    denied = [both[0], info("rapl:package-1", Scope.PACKAGE, SourceState.PERMISSION)]
    assert cpu_energy_j(denied, samples, 0, NS_PER_S) is None
    assert cpu_energy_j([], samples, 0, NS_PER_S) is None
