"""What batteries deliver: both styles of units, several batteries, and when it means nothing."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from power_trees import supply
from sensor_trees import INTEL_CPUINFO, overlay, write

from edgeagent.meter.energy.battery import discover_battery
from edgeagent.meter.protocol import Discovery, Meter, MeterError
from edgeagent.meter.tree import Reader, SystemTree, read_text
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState


def tree(tmp_path: Path, read: Reader = read_text) -> SystemTree:
    write(tmp_path / "proc/cpuinfo", INTEL_CPUINFO)
    return SystemTree(tmp_path, read)


def only_meter(tmp_path: Path, read: Reader = read_text) -> Meter:
    (meter,) = discover_battery(tree(tmp_path, read)).meters
    return meter


def only_source(tmp_path: Path, read: Reader = read_text) -> SourceInfo:
    found = discover_battery(tree(tmp_path, read))
    assert found.meters == ()
    (source,) = found.sources
    return source


def test_a_battery_that_tells_its_power(tmp_path: Path) -> None:
    supply(tmp_path, "AC", "Mains", online=0)
    supply(tmp_path, "BAT1", "Battery", status="Discharging", power_now=7_431_000)
    meter = only_meter(tmp_path)
    assert meter.read().value == pytest.approx(7.431)
    info = meter.info
    assert (info.source, info.quantity, info.kind) == (
        "battery:discharge",
        "power_w",
        SampleKind.SAMPLED,
    )
    assert (info.scope, info.total) == (Scope.SYSTEM, "system")
    assert info.interval_s == meter.min_interval_s == 1.0
    assert info.resolution == pytest.approx(1e-3)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_battery_that_tells_current_and_voltage_with_either_sign(
    tmp_path: Path, sign: int
) -> None:
    supply(
        tmp_path,
        "macsmc-battery",
        "Battery",
        status="Discharging",
        current_now=sign * 812_345,
        voltage_now=12_010_000,
    )
    meter = only_meter(tmp_path)
    assert meter.read().value == pytest.approx(9.7562634, abs=1e-6)
    assert meter.info.resolution == pytest.approx(12.01e-6)


def test_a_negative_power_is_the_same_power(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=-5_000_000)
    assert only_meter(tmp_path).read().value == pytest.approx(5.0)


def test_two_batteries_of_different_styles_are_one_reading(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000, present=1)
    supply(
        tmp_path,
        "BAT1",
        "Battery",
        status="Discharging",
        current_now=250_000,
        voltage_now=12_000_000,
    )
    supply(tmp_path, "BAT2", "Battery", status="Unknown", present=0)  # an empty bay
    assert only_meter(tmp_path).read().value == pytest.approx(9.0)


def test_one_look_is_one_read_of_each_battery(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000)
    paths: list[Path] = []

    def read(path: Path) -> str:
        paths.append(path)
        return read_text(path)

    meter = only_meter(tmp_path, read)
    meter.read()
    paths.clear()
    meter.read()
    assert [path.name for path in paths] == ["uevent"]


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
def test_a_battery_that_does_not_discharge_says_what_to_do(tmp_path: Path, status: str) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000)
    supply(tmp_path, "BAT1", "Battery", status=status, power_now=9_000_000)
    source = only_source(tmp_path)
    assert source.state is SourceState.NOT_DISCHARGING
    assert f"BAT1 says '{status}'" in source.reason
    assert "Unplug" in source.remedy


def test_plugging_in_while_measuring(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000)
    meter = only_meter(tmp_path)
    supply(tmp_path, "BAT0", "Battery", status="Charging", power_now=30_000_000)
    with pytest.raises(MeterError) as caught:
        meter.read()
    assert caught.value.state is SourceState.NOT_DISCHARGING
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=7_000_000)
    assert meter.read().value == pytest.approx(7.0)


def test_a_second_battery_that_is_put_in_while_measuring_counts(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000)
    meter = only_meter(tmp_path)
    supply(tmp_path, "BAT1", "Battery", status="Discharging", power_now=1_500_000)
    assert meter.read().value == pytest.approx(7.5)
    shutil.rmtree(tmp_path / "sys/class/power_supply/BAT1")
    assert meter.read().value == pytest.approx(6.0)
    shutil.rmtree(tmp_path / "sys/class/power_supply/BAT0")
    with pytest.raises(MeterError) as caught:
        meter.read()
    assert caught.value.state is SourceState.ABSENT


def test_a_battery_that_vanishes_during_the_look(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000)
    supply(tmp_path, "BAT1", "Battery", status="Discharging", power_now=6_000_000)
    failures: dict[str, int] = {}
    meter = only_meter(tmp_path, overlay(failures))
    failures["BAT1/uevent"] = errno.ENODEV
    with pytest.raises(MeterError) as caught:
        meter.read()  # never the power of the other one alone
    assert caught.value.state is SourceState.ABSENT


def test_nothing_delivered_is_no_measured_zero(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000)
    meter = only_meter(tmp_path)
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=0)
    with pytest.raises(MeterError) as caught:
        meter.read()
    assert caught.value.state is SourceState.STALE


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, "current_now and voltage_now"),
        ({"current_now": 800_000}, "voltage_now"),
        ({"voltage_now": 12_000_000}, "current_now"),
        ({"current_now": "n/a", "voltage_now": 12_000_000}, "current_now"),
    ],
)
def test_missing_values_are_named(tmp_path: Path, values: dict[str, object], missing: str) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", **values)
    source = only_source(tmp_path)
    assert source.state is SourceState.UNSUPPORTED
    assert f"BAT0 tells no power_now, and {missing} is missing" in source.reason


def test_a_battery_that_may_not_be_read(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000)
    source = only_source(tmp_path, overlay({"uevent": errno.EACCES}))
    assert source.state is SourceState.PERMISSION


def test_files_serve_where_there_is_no_uevent(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=6_000_000)
    (tmp_path / "sys/class/power_supply/BAT0/uevent").unlink()
    assert only_meter(tmp_path).read().value == pytest.approx(6.0)


def test_a_copy_by_hand_needs_no_type(tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/power_supply/BAT0"
    write(folder / "status", "Discharging")
    write(folder / "voltage_now", "11206000")
    write(folder / "power_now", "19195000")
    write(tmp_path / "sys/class/power_supply/AC/online", "0")
    assert only_meter(tmp_path).read().value == pytest.approx(19.195)


def test_the_kind_may_stand_in_uevent_alone(tmp_path: Path) -> None:
    mouse = supply(tmp_path, "hidpp_battery_1", "Battery", status="Discharging", scope="Device")
    battery = supply(tmp_path, "sbs-9-000b", "Battery", status="Discharging", power_now=3_000_000)
    for path in (mouse / "type", mouse / "scope", battery / "type"):
        path.unlink()
    assert only_meter(tmp_path).read().value == pytest.approx(3.0)


def test_a_supply_that_does_not_tell_what_it_is_is_not_left_out(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=3_000_000)
    failures: dict[str, int] = {}
    meter = only_meter(tmp_path, overlay(failures))
    supply(tmp_path, "BAT1", "Battery", status="Discharging", power_now=2_000_000)
    failures["BAT1/type"] = errno.EAGAIN
    with pytest.raises(MeterError):
        meter.read()
    failures.clear()
    assert meter.read().value == pytest.approx(5.0)


def test_batteries_of_other_devices_are_none_of_the_system(tmp_path: Path) -> None:
    supply(tmp_path, "hidpp_battery_0", "Battery", status="Discharging", scope="Device")
    supply(tmp_path, "ups", "UPS", status="Discharging", power_now=1)
    supply(tmp_path, "ucsi-source-psy-1", "USB", online=0)
    assert discover_battery(tree(tmp_path)) == Discovery((), ())
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=2_000_000)
    assert only_meter(tmp_path).read().value == pytest.approx(2.0)


def test_windows_tells_how_full_a_battery_is_and_no_watts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    battery = SimpleNamespace(percent=80.0, power_plugged=False)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    (source,) = discover_battery(SystemTree(tmp_path)).sources
    assert source.state is SourceState.UNSUPPORTED
    assert "percent" in source.reason
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    assert discover_battery(SystemTree(tmp_path)) == Discovery((), ())


def test_the_battery_of_a_mac_is_left_to_its_own_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    battery = SimpleNamespace(percent=80.0, power_plugged=False)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert discover_battery(SystemTree(tmp_path)) == Discovery((), ())
