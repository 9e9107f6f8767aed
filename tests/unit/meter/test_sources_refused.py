"""Every reader of energy with files it may not read or list: no reading, no crash, a reason."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from power_trees import board, hwmon_chip, hwmon_ina238, hwmon_ina3221, iio_ina3221, supply
from sensor_trees import INTEL_RANGE_UJ, add_zone, write

from edgeagent.meter.discover import discover
from edgeagent.meter.energy.battery import discover_battery
from edgeagent.meter.energy.cpu import discover_cpu
from edgeagent.meter.energy.hwmon import discover_hwmon
from edgeagent.meter.energy.jetson import discover_jetson
from edgeagent.meter.energy.rpi_pmic import discover_rpi_pmic
from edgeagent.meter.host.facts import host_facts, host_record
from edgeagent.meter.host.identity import device_facts
from edgeagent.meter.host.state import take_host_state
from edgeagent.meter.npu import discover_npu
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.tree import SystemTree, read_text
from edgeagent.record.samples import SourceState

READERS: dict[str, Callable[[SystemTree], Discovery]] = {
    "cpu": discover_cpu,
    "jetson": discover_jetson,
    "battery": discover_battery,
    "hwmon": discover_hwmon,
    "rpi_pmic": discover_rpi_pmic,
    "npu": discover_npu,
}


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """A machine that cannot be: one of each."""
    board(tmp_path, "nvidia,p3701-0005\x00brcm,bcm2712", "Chimera")
    add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 5_000_000, INTEL_RANGE_UJ)
    hwmon_ina3221(tmp_path, "1-0040", 1, {1: ("VDD_GPU_SOC", 19000, 500)})
    hwmon_ina238(tmp_path, "2-0044", 2, 1_000_000)
    iio_ina3221(tmp_path, "3-0040", 0, (("VDD_IN", 5000, 100),))
    supply(tmp_path, "BAT0", "Battery", status="Discharging", power_now=5_000_000)
    hwmon_chip(tmp_path, 3, "amdgpu", power1_average=5_000_000)
    write(tmp_path / "sys/class/accel/accel0/device/npu_busy_time_us", "5")
    return tmp_path


def check(found: Discovery) -> None:
    assert found.meters == ()
    for source in found.sources:
        assert source.state is not SourceState.OK
        assert source.reason


@pytest.mark.parametrize("name", [name for name in READERS if name != "rpi_pmic"])
def test_the_machine_has_something_for_each_reader(everything: Path, name: str) -> None:
    assert READERS[name](SystemTree(everything)).meters


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_files_that_cannot_be_read(everything: Path, name: str, number: int) -> None:
    def refuse(path: Path) -> str:
        raise OSError(number, os.strerror(number), str(path))

    check(READERS[name](SystemTree(everything, refuse)))


@pytest.mark.parametrize("name", READERS)
def test_values_that_cannot_be_read(everything: Path, name: str) -> None:
    """Names, labels and kinds are readable, as is usual; the values are not."""

    def refuse(path: Path) -> str:
        text = read_text(path)
        if text.strip().lstrip("-").isdigit() or path.name == "uevent":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return text

    found = READERS[name](SystemTree(everything, refuse))
    check(found)
    assert found.sources


@pytest.fixture
def closed(everything: Path, monkeypatch: pytest.MonkeyPatch) -> SystemTree:
    """The same machine with folders that this user may not enter, whoever runs the test."""

    def refusing(function: Callable[..., object]) -> Callable[..., object]:
        def call(path: object = ".", *arguments: object, **options: object) -> object:
            if str(path).startswith((str(everything / "sys"), str(everything / "proc"))):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return function(path, *arguments, **options)

        return call

    for function in ("stat", "lstat", "listdir", "scandir", "open"):
        monkeypatch.setattr(os, function, refusing(getattr(os, function)))
    return SystemTree(everything)


@pytest.mark.parametrize("name", READERS)
def test_folders_that_may_not_be_entered(closed: SystemTree, name: str) -> None:
    check(READERS[name](closed))


def test_nothing_at_all_may_be_read(closed: SystemTree) -> None:
    found = discover(os.getpid(), closed)
    read = {meter.info.source for meter in found.meters}
    # What psutil tells about this process needs no file of the tree.
    assert all(source.startswith(("process:", "system:", "cpu:")) for source in read)
    for source in found.sources:
        assert (source.state is SourceState.OK) == (not source.reason), source
    assert take_host_state(closed, load_window_s=0.0).governors == ()
    assert host_facts(closed)
    assert host_record(closed).cpu
    device_facts(closed)


@pytest.mark.parametrize("name", READERS)
def test_a_root_that_is_not_there(tmp_path: Path, name: str) -> None:
    check(READERS[name](SystemTree(tmp_path / "missing")))
