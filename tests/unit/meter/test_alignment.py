"""A meter's clock is found by the load pulses, or the recording is refused."""

from __future__ import annotations

import numpy as np
import pytest
from power_recordings import Meter, pulse_group

from edgeagent.errors import ConfigError
from edgeagent.meter.external.alignment import UNKNOWN_SKEW, align

RUN_S = 300.0
GROUPS = [pulse_group("start", 5.0), pulse_group("end", RUN_S - 15.0)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "meter",
    [
        {"interval_s": 0.01},
        {"interval_s": 0.1, "skew": 150e-6},
        {"interval_s": 0.1, "skew": -1e-3, "noise_w": 1.5, "dropped": 0.1},
        {"interval_s": 0.5, "noise_w": 0.3},
        {"interval_s": 1.0, "noise_w": 0.2, "dropped": 0.02},
    ],
)
def test_offset_and_rate_are_right_within_the_uncertainty(
    meter: dict[str, float], seed: int
) -> None:
    recorder = Meter(starts_s=-12.3 - seed / 7, ends_s=RUN_S + 8, seed=seed, **meter)
    t_s, power_w = recorder.record(GROUPS)
    found = align(t_s, power_w, GROUPS)
    assert found.groups == (0, 1)
    assert found.skew_known
    # The meter's readings are means of the interval before, so they come half of it late.
    late_s = recorder.interval_s / 2
    for group in GROUPS:
        meter_s = (group.t0_s + late_s - recorder.starts_s) / (1 + recorder.skew)
        error_s = float(found.to_run_s(np.array([meter_s]))[0]) - group.t0_s
        assert abs(error_s) <= found.uncertainty_s, (error_s, found)
    assert found.uncertainty_s < max(0.02, recorder.interval_s)
    assert found.scale - 1 == pytest.approx(recorder.skew, abs=found.uncertainty_s / 100)


def test_the_rate_is_unknown_where_the_recording_ends_too_early() -> None:
    meter = Meter(interval_s=0.1, starts_s=-3.0, ends_s=200.0, noise_w=0.3)
    found = align(*meter.record(GROUPS), GROUPS)
    assert found.groups == (0,)
    assert not found.skew_known
    assert found.scale == 1.0
    assert found.to_run_s(np.array([3.0]))[0] == pytest.approx(0.05, abs=0.11)
    assert found.uncertainty_at_s(100.0) - found.uncertainty_s == pytest.approx(100 * UNKNOWN_SKEW)


def test_one_group_at_the_end_is_enough() -> None:
    meter = Meter(interval_s=0.1, starts_s=60.0, ends_s=RUN_S)
    found = align(*meter.record(GROUPS), GROUPS)
    assert found.groups == (1,)
    assert found.offset_s == pytest.approx(60.0, abs=0.06)


def test_an_interrupted_run_has_only_the_start() -> None:
    meter = Meter(interval_s=0.1, starts_s=-3.0, ends_s=200.0)
    found = align(*meter.record(GROUPS), GROUPS[:1])
    assert (found.groups, found.skew_known) == ((0,), False)


def test_a_recording_of_something_else_is_refused() -> None:
    other = [pulse_group("start", -500.0), pulse_group("end", 900.0)]
    meter = Meter(interval_s=0.1, starts_s=-20.0, ends_s=RUN_S, noise_w=0.2)
    with pytest.raises(ConfigError, match="does not show the load pulses"):
        align(*meter.record(other), GROUPS)


@pytest.mark.parametrize("level_w", [0.0, 5.0])
def test_a_constant_or_noise_is_refused(level_w: float) -> None:
    t_s = np.arange(0.0, RUN_S, 0.1)
    with pytest.raises(ConfigError, match="does not show"):
        align(t_s, np.full(len(t_s), level_w), GROUPS)
    noise = level_w + np.random.default_rng(3).normal(0, 1, len(t_s))
    with pytest.raises(ConfigError, match="does not show"):
        align(t_s, noise, GROUPS)


def test_two_runs_in_one_recording_are_refused() -> None:
    twice = [*GROUPS, *(pulse_group(p, t + 400.0) for p, t in (("start", 5.0), ("end", 285.0)))]  # type: ignore[arg-type]
    t_s = np.arange(-10.0, 700.0, 0.1)
    power_w = sum(group.load(t_s, 0.1) for group in twice)
    with pytest.raises(ConfigError, match="more than one place"):
        align(t_s - t_s[0], np.asarray(power_w), GROUPS)


def test_a_hole_over_the_pulses_is_no_match() -> None:
    t_s, power_w = Meter(interval_s=0.1, starts_s=-5.0, ends_s=RUN_S).record(GROUPS)
    kept = ((t_s < 12) | (t_s > 17)) & ((t_s < 291) | (t_s > 296))
    with pytest.raises(ConfigError, match="does not show"):
        align(t_s[kept], power_w[kept], GROUPS)


def test_a_slow_meter_is_told_to_be_faster() -> None:
    meter = Meter(interval_s=5.0, starts_s=0.0, ends_s=RUN_S)
    with pytest.raises(ConfigError, match=r"every 5 s.*one reading per second"):
        align(*meter.record(GROUPS), GROUPS)


def test_a_recording_shorter_than_the_pattern_is_refused() -> None:
    t_s = np.arange(0.0, 3.0, 0.1)
    with pytest.raises(ConfigError, match="does not show"):
        align(t_s, t_s**2, GROUPS)
