"""Clock rates from trees of several machines, and from systems that do not tell them."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from host_trees import files, policy
from sensor_trees import overlay, write

from edgeagent.meter.host.clocks import clock_limits, clock_rates, discover_clocks
from edgeagent.meter.protocol import MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SourceState

HYBRID = {
    # Four efficient cores in one policy, two fast ones in a policy each.
    **policy(0, scaling_cur_freq="1000000", affected_cpus="0 1 2 3", scaling_max_freq="2000000"),
    **policy(4, scaling_cur_freq="3000000", affected_cpus="4", scaling_max_freq="4000000"),
    **policy(10, scaling_cur_freq="2000000", affected_cpus="5", scaling_max_freq="4200000"),
}


def values(tree: SystemTree) -> dict[str, float]:
    return {meter.info.source: meter.read().value for meter in discover_clocks(tree).meters}


def test_mean_over_cores_slowest_and_fastest(tmp_path: Path) -> None:
    tree = files(tmp_path, HYBRID)
    assert values(tree) == {
        "cpu:frequency": pytest.approx((4 * 1e9 + 3e9 + 2e9) / 6),
        "cpu:frequency_min": 1e9,
        "cpu:frequency_max": 3e9,
        "cpu:frequency_limit": 4.2e9,
    }
    assert clock_rates(tree) == (pytest.approx(1.5e9), 1e9, 3e9)


def test_a_reading_follows_the_clocks_at_most_once_a_second(tmp_path: Path) -> None:
    tree = files(tmp_path, HYBRID)
    meters = {meter.info.source: meter for meter in discover_clocks(tree).meters}
    write(tmp_path / "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq", "800000")
    meter = meters["cpu:frequency_max"]
    assert meter.read().value in {3e9, 2e9}
    assert meter.read().value == 2e9  # never the same look twice
    assert meter.min_interval_s >= 1


@pytest.mark.parametrize("broken", ["<unknown>", "", "0", "-5", "99999999999999999999999"])
def test_a_core_that_tells_nonsense_is_left_out(tmp_path: Path, broken: str) -> None:
    tree = files(tmp_path, HYBRID | policy(4, scaling_cur_freq=broken))
    assert values(tree)["cpu:frequency_max"] == 2e9


def test_cores_that_are_off_are_left_out_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    off = {"policy4/scaling_cur_freq": errno.EBUSY}
    tree = files(tmp_path, HYBRID, overlay(off))
    assert values(tree)["cpu:frequency_max"] == 2e9
    meters = discover_clocks(tree).meters
    off |= {"scaling_cur_freq": errno.EBUSY}
    failing = SystemTree(tmp_path, overlay(off))
    assert clock_rates(failing) is None
    states = {source.source: source for source in discover_clocks(failing).sources}
    assert states["cpu:frequency"].state is SourceState.STALE
    assert states["cpu:frequency_limit"].state is SourceState.OK
    with pytest.raises(MeterError) as busy:
        meters[0].read()
    assert busy.value.state is SourceState.STALE
    off.clear()
    for path in tmp_path.rglob("scaling_cur_freq"):
        path.unlink()
    with pytest.raises(MeterError) as gone:
        meters[0].read()
    assert gone.value.state is SourceState.ABSENT


def test_limits_and_locked_clocks(tmp_path: Path) -> None:
    assert clock_limits(SystemTree(tmp_path)).locked is None
    locked = policy(
        0, scaling_min_freq="1728000", scaling_max_freq="1728000", cpuinfo_max_freq="1984000"
    )
    limits = clock_limits(files(tmp_path, locked))
    assert (limits.limit_hz, limits.hardware_max_hz, limits.locked) == (1.728e9, 1.984e9, True)
    free = policy(4, scaling_min_freq="800000", scaling_max_freq="2000000")
    assert clock_limits(files(tmp_path, free)).locked is False


def test_a_machine_without_frequency_control(tmp_path: Path) -> None:
    sources = discover_clocks(files(tmp_path, {})).sources
    assert {source.state for source in sources} == {SourceState.ABSENT}
    assert all("virtual machine" in source.reason for source in sources)


@pytest.mark.parametrize(("system", "word"), [("darwin", "macOS"), ("win32", "nominal")])
def test_systems_that_do_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, word: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    found = discover_clocks(SystemTree(tmp_path))
    assert found.meters == ()
    assert {source.state for source in found.sources} == {SourceState.UNSUPPORTED}
    assert word in found.sources[0].reason
