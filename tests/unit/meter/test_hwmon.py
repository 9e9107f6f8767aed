"""Chips of hwmon: those on the allow-list with their meaning, the others with the reason."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from power_trees import hwmon_chip, supply
from sensor_trees import overlay, write

from edgeagent.meter.energy.hwmon import CHIPS, discover_hwmon
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState


def by_name(found: Discovery) -> dict[str, SourceInfo]:
    return {source.source: source for source in found.sources}


def test_every_chip_on_the_list_says_what_it_covers_and_where_that_is_documented() -> None:
    for sensors in CHIPS.values():
        for sensor in sensors:
            assert sensor.covers
            assert sensor.source.startswith("Linux Documentation/")
            assert all(name.endswith(("_input", "_average")) for name in sensor.files)


def test_a_graphics_card_is_read_and_adds_to_the_gpu(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 3, "amdgpu", power1_average=41_000_000, power1_cap=200_000_000)
    (meter,) = discover_hwmon(SystemTree(tmp_path)).meters
    assert meter.read().value == pytest.approx(41.0)
    assert (meter.info.source, meter.info.scope, meter.info.total) == (
        "hwmon:amdgpu",
        Scope.MODULE,
        "gpu",
    )
    assert (meter.info.quantity, meter.info.kind) == ("power_w", SampleKind.SAMPLED)


def test_newer_graphics_cards_have_the_instantaneous_power_only(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 3, "amdgpu", power1_input=52_000_000)
    (meter,) = discover_hwmon(SystemTree(tmp_path)).meters
    assert meter.read().value == pytest.approx(52.0)


def test_an_apu_is_the_package_which_is_in_the_total_already(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 4, "amdgpu", power1_input=9_000_000, in1_label="vddnb")
    (source,) = discover_hwmon(SystemTree(tmp_path)).sources
    assert (source.scope, source.total, source.state) == (Scope.PACKAGE, None, SourceState.OK)


def test_counters_of_intel_cards(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 1, "i915", energy1_input=123_456_789)
    hwmon_chip(
        tmp_path,
        2,
        "xe",
        energy1_input=9_000_000,
        energy1_label="card",
        energy2_input=7_000_000,
        energy2_label="pkg",
    )
    found = discover_hwmon(SystemTree(tmp_path))
    assert {m.info.source: (m.info.total, m.read().value) for m in found.meters} == {
        "hwmon:i915": ("gpu", pytest.approx(123.456789)),
        "hwmon:xe-card": ("gpu", pytest.approx(9.0)),
        "hwmon:xe-pkg": (None, pytest.approx(7.0)),
    }
    assert all(
        (m.info.quantity, m.info.kind) == ("energy_j", SampleKind.COUNTER) for m in found.meters
    )


def test_two_cards_of_a_kind_are_told_apart_by_their_slots(tmp_path: Path) -> None:
    for index, slot in ((1, "0000:03:00.0"), (2, "0000:0a:00.0")):
        folder = hwmon_chip(tmp_path, index, "amdgpu", power1_average=10_000_000)
        device = tmp_path / "sys/devices" / slot
        device.mkdir(parents=True)
        (folder / "device").symlink_to(device, target_is_directory=True)
    assert set(by_name(discover_hwmon(SystemTree(tmp_path)))) == {
        "hwmon:amdgpu@0000:03:00.0",
        "hwmon:amdgpu@0000:0a:00.0",
    }


def test_a_card_that_sleeps_is_not_woken(tmp_path: Path) -> None:
    folder = hwmon_chip(tmp_path, 1, "amdgpu", power1_average=10_000_000)
    status = write(folder / "device/power/runtime_status", "active")
    paths: list[str] = []

    def read(path: Path) -> str:
        paths.append(path.name)
        return overlay({})(path)

    (meter,) = discover_hwmon(SystemTree(tmp_path, read)).meters
    write(status, "suspended")
    paths.clear()
    with pytest.raises(MeterError, match="suspended") as caught:
        meter.read()
    assert caught.value.state is SourceState.STALE
    assert "power1_average" not in paths
    (source,) = discover_hwmon(SystemTree(tmp_path)).sources
    assert source.state is SourceState.STALE
    assert source.remedy


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.EPERM, SourceState.STALE),  # amdgpu's way to say that it is suspended
        (errno.EACCES, SourceState.PERMISSION),
        (errno.EOPNOTSUPP, SourceState.UNSUPPORTED),
        (errno.EAGAIN, SourceState.STALE),
    ],
)
def test_errors_of_a_card(tmp_path: Path, number: int, state: SourceState) -> None:
    hwmon_chip(tmp_path, 1, "amdgpu", power1_average=10_000_000)
    failures: dict[str, int] = {}
    tree = SystemTree(tmp_path, overlay(failures))
    (meter,) = discover_hwmon(tree).meters
    failures["power1_average"] = number
    with pytest.raises(MeterError) as caught:
        meter.read()
    assert caught.value.state is state
    (source,) = discover_hwmon(tree).sources
    assert source.state is state
    assert source.reason


def test_a_power_supply_and_a_mac_are_the_system(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 1, "corsairpsu", power1_input=88_000_000, power2_input=70_000_000)
    hwmon_chip(
        tmp_path,
        2,
        "macsmc_hwmon",
        power1_input=4_000_000,
        power1_label="3.8 V Rail Power",
        power2_input=11_500_000,
        power2_label="Total System Power",
    )
    watts = {m.info.source: m.read().value for m in discover_hwmon(SystemTree(tmp_path)).meters}
    assert watts == {"hwmon:corsairpsu": 88.0, "hwmon:macsmc_hwmon": 11.5}


def test_an_acpi_meter_is_read_at_its_own_pace_and_not_added(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 1, "power_meter", power1_average=120_000_000, power1_average_interval=4000)
    (source,) = discover_hwmon(SystemTree(tmp_path)).sources
    assert (source.total, source.interval_s) == (None, 4.0)


def test_chips_that_are_not_on_the_list_are_named_once(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 1, "pmbus_psu", power1_input=1)
    hwmon_chip(tmp_path, 2, "pmbus_psu", power1_input=1)
    hwmon_chip(tmp_path, 3, "mystery", energy1_input=1)
    hwmon_chip(tmp_path, 4, "coretemp", temp1_input=45000)  # no power, no source
    hwmon_chip(tmp_path, 5, "macsmc_hwmon", power1_input=1, power1_label="Heatpipe Power")
    sources = by_name(discover_hwmon(SystemTree(tmp_path)))
    assert set(sources) == {"hwmon:pmbus_psu", "hwmon:mystery", "hwmon:macsmc_hwmon"}
    for source in sources.values():
        assert source.state is SourceState.UNSUPPORTED
        assert source.total is None
        assert "allow-list" in source.reason


def test_what_other_readers_read_is_not_read_twice(tmp_path: Path) -> None:
    battery = supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=5)
    folder = hwmon_chip(tmp_path, 1, "BAT0", power1_input=5_000_000)
    (folder / "device").symlink_to(battery, target_is_directory=True)
    hwmon_chip(tmp_path, 2, "ina3221", power1_input=1)
    hwmon_chip(tmp_path, 3, "ina238", power1_input=1)
    assert discover_hwmon(SystemTree(tmp_path)) == Discovery((), ())


def test_a_card_that_is_unplugged_and_a_count_that_is_none(tmp_path: Path) -> None:
    folder = hwmon_chip(tmp_path, 1, "xe", energy1_input=9_000_000)
    (meter,) = discover_hwmon(SystemTree(tmp_path)).meters
    write(folder / "energy1_input", "-4")
    with pytest.raises(MeterError, match="negative"):
        meter.read()
    (folder / "energy1_input").unlink()
    with pytest.raises(MeterError) as caught:
        meter.read()
    assert caught.value.state is SourceState.ABSENT
