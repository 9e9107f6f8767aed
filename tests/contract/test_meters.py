"""What every Meter promises, asked of every meter that this machine and known trees offer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeagent.clock import now_ns
from edgeagent.meter.discover import discover
from edgeagent.meter.protocol import Meter
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SampleKind, SourceState

UNIT_SUFFIXES = ("_bytes", "_j", "_w", "_hz", "_c", "_s", "throttle_events", "throttle_state")


def laptop(tmp_path: Path) -> SystemTree:
    zone = tmp_path / "sys" / "class" / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n", encoding="ascii")
    (zone / "energy_uj").write_text("26963529117\n", encoding="ascii")
    (zone / "max_energy_range_uj").write_text("262143328850\n", encoding="ascii")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("flags : fpu\n", encoding="ascii")
    return SystemTree(tmp_path)


def jetson(tmp_path: Path) -> SystemTree:
    """A board of which one rail is part of another, and whose small rail reads below zero."""
    chip = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon2"
    chip.mkdir(parents=True)
    rails = (("VDD_IN", 5040, 1120), ("VDD_CPU_GPU_CV", 5040, 240), ("VDD_SOC", 5040, -8))
    files = {"name": "ina3221"}
    for channel, (label, millivolts, milliamperes) in enumerate(rails, start=1):
        files[f"in{channel}_label"] = label
        files[f"in{channel}_input"] = str(millivolts)
        files[f"curr{channel}_input"] = str(milliamperes)
        files[f"shunt{channel}_resistor"] = "5000"
    for name, text in files.items():
        (chip / name).write_text(f"{text}\n", encoding="ascii")
    names = tmp_path / "proc/device-tree"
    names.mkdir(parents=True)
    (names / "compatible").write_bytes(b"nvidia,p3768-0000+p3767-0005\x00nvidia,tegra234\x00")
    (tmp_path / "proc/cpuinfo").write_text("Features : fp asimd\n", encoding="ascii")
    return SystemTree(tmp_path)


def on_battery(tmp_path: Path) -> SystemTree:
    """A laptop with two batteries that tell their power in different ways."""
    for name, values in (
        ("BAT0", "POWER_NOW=7200000"),
        ("BAT1", "CURRENT_NOW=-310000\nPOWER_SUPPLY_VOLTAGE_NOW=11800000"),
    ):
        folder = tmp_path / "sys/class/power_supply" / name
        folder.mkdir(parents=True)
        (folder / "type").write_text("Battery\n", encoding="ascii")
        text = f"POWER_SUPPLY_STATUS=Discharging\nPOWER_SUPPLY_{values}\n"
        (folder / "uevent").write_text(text, encoding="ascii")
    return laptop(tmp_path)


MACHINES = {
    "this machine": lambda _: SystemTree(),
    "laptop": laptop,
    "jetson": jetson,
    "on battery": on_battery,
}
OWN_SOURCES = {
    "jetson": {"ina3221:VDD_IN", "ina3221:VDD_CPU_GPU_CV", "ina3221:VDD_SOC"},
    "on battery": {"rapl:package-0", "battery:discharge"},
}


@pytest.fixture(params=list(MACHINES))
def meters(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Meter, ...]:
    found = discover(os.getpid(), MACHINES[request.param](tmp_path)).meters
    assert {meter.info.source for meter in found} >= OWN_SOURCES.get(request.param, set())
    assert found
    return found


def test_its_source_is_readable_and_names_a_unit(meters: tuple[Meter, ...]) -> None:
    for meter in meters:
        assert meter.info.state is SourceState.OK
        assert meter.info.reason == meter.info.remedy == ""
        assert meter.info.quantity.endswith(UNIT_SUFFIXES), meter.info
        assert meter.info.kind is not SampleKind.ESTIMATED
        assert meter.min_interval_s >= 0


def test_a_reading_carries_its_source_and_the_time_it_was_taken(meters: tuple[Meter, ...]) -> None:
    for meter in meters:
        meter.read()
        before_ns = now_ns()
        sample = meter.read()
        after_ns = now_ns()
        assert sample.source == meter.info.source
        assert before_ns <= sample.t_ns - sample.width_ns / 2
        assert sample.t_ns + sample.width_ns / 2 <= after_ns + 1
        # Around zero, the noise and the offset of a power sensor go below it; nothing else does.
        assert sample.value >= 0 or meter.info.quantity == "power_w"
        if meter.info.counter_range is not None:
            assert sample.value < meter.info.counter_range
