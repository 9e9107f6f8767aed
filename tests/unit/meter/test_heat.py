"""Temperatures of processors: which sensors count, and what they do when they fail."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from host_trees import chip, files, jetson, zone
from sensor_trees import overlay, write

from edgeagent.meter.host.heat import (
    discover_heat,
    processor_sensors,
    temperature_c,
    temperature_limit_c,
)
from edgeagent.meter.protocol import MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SourceState


def test_the_hottest_zone_of_the_processor_counts_and_no_other(tmp_path: Path) -> None:
    tree = jetson(tmp_path)
    (meter,) = discover_heat(tree).meters
    assert meter.info.quantity == "temperature_c"
    assert meter.read().value == 51.5  # not the GPU's zone of 100 degrees
    assert temperature_limit_c(tree) == 99


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("x86_pkg_temp", True),
        ("TCPU", True),
        ("cpu_thermal", True),
        ("CPU-therm", True),
        ("cpu-0-0-thermal", True),
        ("bigcore0-thermal", True),
        ("soc-thermal", True),
        ("acpitz", False),
        ("iwlwifi_1", False),
        ("battery-thermal", False),
        ("x86_pkg_temp_board", False),
    ],
)
def test_which_zones_belong_to_the_processor(tmp_path: Path, name: str, counts: bool) -> None:
    tree = files(tmp_path, zone(0, name, "40000"))
    assert (temperature_c(tree) == 40) is counts
    assert discover_heat(tree).sources[0].state is (
        SourceState.OK if counts else SourceState.ABSENT
    )


def test_the_chip_itself_is_preferred_to_a_zone_that_repeats_it(tmp_path: Path) -> None:
    chips = chip(
        1,
        "coretemp",
        temp1_label="Package id 0",
        temp1_input="61000",
        temp1_crit="100000",
        temp2_label="Core 0",
        temp2_input="63000",
    )
    tree = files(tmp_path, {**zone(0, "x86_pkg_temp", "44000"), **chips})
    assert temperature_c(tree) == 61
    assert temperature_limit_c(tree) == 100
    assert [sensor.value.name for sensor in processor_sensors(tree)] == ["temp1_input"]


def test_tctl_of_amd_counts_only_without_tdie(tmp_path: Path) -> None:
    tctl = {"temp1_label": "Tctl", "temp1_input": "80000"}
    tdie = {"temp2_label": "Tdie", "temp2_input": "60000"}
    assert temperature_c(files(tmp_path / "a", chip(0, "k10temp", **tctl, **tdie))) == 60
    assert temperature_c(files(tmp_path / "b", chip(0, "k10temp", **tctl))) == 80
    assert temperature_c(files(tmp_path / "c", chip(0, "k10temp", temp1_input="50000"))) == 50


def test_a_zone_that_is_asleep_is_left_out_and_all_of_them_are_an_error(tmp_path: Path) -> None:
    off = {"thermal_zone2/temp": errno.EAGAIN}
    tree = jetson(tmp_path, overlay(off))
    (meter,) = discover_heat(tree).meters
    assert meter.read().value == pytest.approx(48.031)
    off["thermal_zone0/temp"] = errno.EAGAIN
    all_off = SystemTree(tmp_path, overlay(off))
    assert temperature_c(all_off) is None
    (source,) = discover_heat(all_off).sources
    assert source.state is SourceState.STALE
    with pytest.raises(MeterError) as asleep:
        meter.read()
    assert asleep.value.state is SourceState.STALE
    off.clear()
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", "lots")
    write(tmp_path / "sys/class/thermal/thermal_zone2/temp", "lots")
    with pytest.raises(MeterError, match="lots"):
        meter.read()


@pytest.mark.parametrize("value", ["-273000", "255000", "12345678901234567890123", ""])
def test_values_of_dead_sensors_are_no_temperatures(tmp_path: Path, value: str) -> None:
    tree = files(tmp_path, zone(0, "cpu-thermal", value))
    assert temperature_c(tree) is None
    assert discover_heat(tree).meters == ()


def test_trip_points_that_nobody_set_are_no_limits(tmp_path: Path) -> None:
    tree = files(tmp_path, zone(0, "x86_pkg_temp", "40000", {"passive": "-274000"}))
    assert temperature_limit_c(tree) is None


@pytest.mark.parametrize("system", ["darwin", "win32", "freebsd14"])
def test_other_systems_say_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    (source,) = discover_heat(SystemTree(tmp_path)).sources
    assert source.state is SourceState.UNSUPPORTED
    assert source.reason
