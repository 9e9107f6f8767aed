"""What every Meter promises, asked of every meter that this machine and a known tree offer."""

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


@pytest.fixture(params=["this machine", "laptop"])
def meters(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Meter, ...]:
    tree = laptop(tmp_path) if request.param == "laptop" else SystemTree()
    found = discover(os.getpid(), tree).meters
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
        assert sample.value >= 0
        if meter.info.counter_range is not None:
            assert sample.value < meter.info.counter_range
