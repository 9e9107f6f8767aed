"""Throttle events and states: counted once, and only by what slows something down."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from host_trees import chip, cooling, files, jetson, x86_counts
from sensor_trees import overlay, write

from edgeagent.meter.host.throttle import EVENTS, STATE, discover_throttle, throttle_values
from edgeagent.meter.protocol import MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SampleKind, SourceState

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


def test_hardware_threads_of_one_core_count_once(tmp_path: Path) -> None:
    tree = files(
        tmp_path,
        {
            **x86_counts(0, 0, 0, (3, 10)),
            **x86_counts(1, 1, 0, (4, 10)),
            **x86_counts(2, 0, 0, (3, 10)),  # the sibling of 0
            **x86_counts(10, 0, 1, (5, 7)),  # another socket
        },
    )
    assert throttle_values(tree) == {"throttle:package": 17, "throttle:core": 12}
    for meter in discover_throttle(tree).meters:
        assert meter.info.kind is SampleKind.COUNTER
        assert meter.info.quantity == EVENTS


def test_a_jetson_counts_overcurrent_and_trips_and_its_fan_holds_nothing_back(
    tmp_path: Path,
) -> None:
    tree = jetson(tmp_path)
    assert throttle_values(tree, EVENTS) == {
        "throttle:oc1": 0,
        "throttle:oc2": 2,
        "throttle:cpu_trip": 0,
    }
    assert throttle_values(tree, STATE) == {"throttle:cooling": 0}
    write(tmp_path / "sys/class/thermal/cooling_device1/cur_state", "1")
    write(tmp_path / "sys/class/thermal/cooling_device2/cur_state", "4")
    assert throttle_values(tree, STATE) == {"throttle:cooling": 5}


@pytest.mark.parametrize(
    ("text", "now", "since_boot"),
    [("0", 0, 0), ("50005", 2, 2), ("0x50000", 0, 2), ("f000f", 4, 4), ("20002", 1, 1)],
)
def test_bits_of_the_raspberry_pi_firmware(
    tmp_path: Path, text: str, now: int, since_boot: int
) -> None:
    tree = files(
        tmp_path, {FIRMWARE: text, **chip(2, "rpi_volt", in0_lcrit_alarm=str(int(bool(now))))}
    )
    assert throttle_values(tree, STATE) == {
        "throttle:undervoltage": bool(now),
        "throttle:firmware": now,
    }
    assert throttle_values(tree, EVENTS) == {"throttle:firmware_since_boot": since_boot}


@pytest.mark.parametrize("text", ["", "throttled=0x0", "-1", "123456789"])
def test_nonsense_of_the_firmware_is_no_value(tmp_path: Path, text: str) -> None:
    tree = files(tmp_path, {FIRMWARE: text})
    assert throttle_values(tree, STATE) == throttle_values(tree, EVENTS) == {}
    found = discover_throttle(tree)
    assert found.meters == ()
    assert {source.state for source in found.sources} == {SourceState.UNSUPPORTED}


def test_one_lost_file_of_a_sum_is_a_failure_and_not_a_smaller_sum(tmp_path: Path) -> None:
    tree = files(tmp_path, {**cooling(0, "cpufreq-cpu0", "2"), **cooling(1, "cpufreq-cpu4", "3")})
    (meter,) = discover_throttle(tree).meters
    assert meter.read().value == 5
    (tmp_path / "sys/class/thermal/cooling_device1/cur_state").unlink()
    with pytest.raises(MeterError) as gone:
        meter.read()
    assert gone.value.state is SourceState.ABSENT


def test_counters_that_may_not_be_read_say_so(tmp_path: Path) -> None:
    counts = x86_counts(0, 0, 0, (3, 10))
    tree = files(tmp_path, counts, overlay({"_throttle_count": errno.EACCES}))
    found = discover_throttle(tree)
    assert found.meters == ()
    assert {source.state for source in found.sources} == {SourceState.PERMISSION}


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_a_machine_that_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    (source,) = discover_throttle(SystemTree(tmp_path)).sources
    assert source.source == "throttle:events"
    assert source.state is not SourceState.OK
    assert source.reason
