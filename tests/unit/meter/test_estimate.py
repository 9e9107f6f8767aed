"""Estimates: only when asked for, apart from everything measured, and with honest bounds."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from pydantic import ValidationError

from edgeagent.errors import ConfigError
from edgeagent.meter.external.estimate import (
    CpuTime,
    discover_estimate,
    estimate_limits,
    read_cpu_time,
)
from edgeagent.meter.protocol import MeterError
from edgeagent.record.energy.totals import open_totals
from edgeagent.record.estimate import (
    MODEL_ERROR,
    EstimateLimits,
    busy_shares_of,
    estimate_energy,
)
from edgeagent.record.samples import SampleKind

S = 1_000_000_000
LIMITS = EstimateLimits(idle_w=4.0, max_w=14.0)


def test_the_line_between_idle_and_busy() -> None:
    shares = [(0, 0.0), (1 * S, 0.5), (3 * S, 1.0)]
    found = estimate_energy(shares, LIMITS, 0, 3 * S)
    assert found is not None
    assert found.energy_j_estimate == pytest.approx(9.0 + 2 * 14.0)
    assert (found.low_j, found.high_j) == (
        pytest.approx(12.0),
        pytest.approx(14.0 + 2 * 1.4 * 14.0),
    )
    part = estimate_energy(shares, LIMITS, S // 2, 2 * S)
    assert part is not None
    assert part.energy_j_estimate == pytest.approx(4.5 + 14.0)


def test_parts_add_up_to_the_whole() -> None:
    shares = [(index * S // 7, (index * 37 % 100) / 100) for index in range(60)]
    edges = [0, 123_456_789, 2 * S, 3 * S + 1, 8 * S]
    parts = [estimate_energy(shares, LIMITS, t0, t1) for t0, t1 in pairwise(edges)]
    whole = estimate_energy(shares, LIMITS, edges[0], edges[-1])
    assert whole is not None
    total = sum(part.energy_j_estimate for part in parts if part is not None)
    assert total == pytest.approx(whole.energy_j_estimate)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_bounds_hold_every_power_of_the_device_and_the_error_of_such_models(share: float) -> None:
    narrow = EstimateLimits(idle_w=9.0, max_w=10.0)
    for limits in (LIMITS, narrow):
        found = estimate_energy([(0, 0.0), (S, share)], limits, 0, S)
        assert found is not None
        assert found.low_j <= min(limits.idle_w, (1 - MODEL_ERROR) * found.energy_j_estimate)
        assert found.high_j >= max(limits.max_w, (1 + MODEL_ERROR) * found.energy_j_estimate)


def test_a_window_that_is_not_covered_has_no_estimate() -> None:
    shares = [(S, 0.5), (2 * S, 0.5)]
    assert estimate_energy(shares, LIMITS, 0, 2 * S) is None
    assert estimate_energy(shares, LIMITS, S, 3 * S) is None
    assert estimate_energy([], LIMITS, 0, 1) is None


def test_the_meter_reads_the_busy_share_since_the_reading_before() -> None:
    looks = iter([CpuTime(10, 10), CpuTime(11, 13), CpuTime(11, 13), CpuTime(13, 13)])
    power, low, high = discover_estimate(LIMITS, lambda: next(looks)).meters
    assert power.read().value == pytest.approx(4.0 + 10.0 * 0.25)
    assert low.read().value == pytest.approx(0.6 * 6.5)
    assert high.read().value == pytest.approx(14.0)
    with pytest.raises(MeterError, match="no processor time"):
        power.read()
    assert power.read().value == pytest.approx(14.0)
    assert high.read().value == pytest.approx(1.4 * 14.0)


def test_an_estimate_is_no_addend_of_anything_measured() -> None:
    counts = (float(count) for count in range(100))
    found = discover_estimate(LIMITS, lambda: CpuTime(count := next(counts), count))
    for info in found.sources:
        assert info.kind is SampleKind.ESTIMATED
        assert info.total is None
    readings = {meter.info.source: [meter.read(), meter.read()] for meter in found.meters}
    assert open_totals(found.sources, readings, {}) == ()
    power, low, high = (readings[info.source] for info in found.sources)
    shares = busy_shares_of(power, LIMITS)
    assert [share for _, share in shares] == pytest.approx([0.5, 0.5])
    assert low[1].value < power[1].value < high[1].value


def test_this_system_counts_processor_time() -> None:
    before = read_cpu_time()
    end = time.perf_counter() + 0.15
    while time.perf_counter() < end:
        pass
    after = read_cpu_time()
    assert after.busy_s > before.busy_s
    assert after.idle_s >= before.idle_s


def test_options() -> None:
    assert estimate_limits(allowed=False, idle_w=None, max_w=None) is None
    assert estimate_limits(allowed=True, idle_w=4, max_w=14) == LIMITS
    for allowed, idle_w, max_w, message in (
        (False, 4.0, None, "--allow-estimates"),
        (True, None, 14.0, "needs --idle-w and --max-w"),
        (True, 14.0, 4.0, "do not fit"),
        (True, -1.0, 4.0, "do not fit"),
        (True, 1.0, float("inf"), "do not fit"),
    ):
        with pytest.raises(ConfigError, match=message):
            estimate_limits(allowed=allowed, idle_w=idle_w, max_w=max_w)
    with pytest.raises(ValidationError):
        EstimateLimits(idle_w=5, max_w=5)
