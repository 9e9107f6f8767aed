"""Every source is listed once, with a state, and a reason where it cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sensor_trees import INTEL_CPUINFO, VM_CPUINFO, intel_laptop, write

from edgeagent.meter.discover import discover, not_here
from edgeagent.meter.host.virtual import cpu_flags, virtual_machine
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SourceState


def test_this_machine_gives_memory_and_explains_everything_it_does_not_give() -> None:
    found = discover(os.getpid())
    names = [source.source for source in found.sources]
    assert len(names) == len(set(names))
    assert {"process:rss", "system:memory_available"} <= {m.info.source for m in found.meters}
    assert any(name.startswith("rapl:package") for name in names)
    for source in found.sources:
        assert (source.state is SourceState.OK) == (not source.reason), source
    assert {m.info.source for m in found.meters} == {
        source.source for source in found.sources if source.state is SourceState.OK
    }


def test_hardware_that_is_not_read_yet_is_named(tmp_path: Path) -> None:
    tree = intel_laptop(tmp_path)
    (tree.sys / "bus/i2c/drivers/ina3221/1-0040").mkdir(parents=True)
    write(tree.proc / "driver/nvidia/version", "NVRM version")
    found = discover(os.getpid(), tree)
    states = {source.source: source.state for source in found.sources}
    for name in ("nvml:gpu", "ina3221:total", "battery:discharge"):
        assert states[name] is SourceState.UNSUPPORTED
    assert states["rapl:package-0"] is SourceState.OK


def test_a_mouse_battery_and_a_driver_without_devices_are_no_sources(tmp_path: Path) -> None:
    root, proc = tmp_path / "sys", tmp_path / "proc"
    write(proc / "cpuinfo", INTEL_CPUINFO)
    write(root / "class/power_supply/hid-mouse/type", "Battery")
    write(root / "class/power_supply/hid-mouse/scope", "Device")
    (root / "bus/i2c/drivers/ina3221").mkdir(parents=True)
    names = {source.source for source in discover(os.getpid(), SystemTree(tmp_path)).sources}
    assert not names & {"nvml:gpu", "ina3221:total", "battery:discharge"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/cpuinfo": VM_CPUINFO}, True),
        ({"proc/cpuinfo": INTEL_CPUINFO}, False),
        ({"sys/hypervisor/type": "xen"}, True),
        ({"sys/class/dmi/id/sys_vendor": "QEMU"}, True),
        ({"sys/class/dmi/id/product_name": "20XW ThinkPad"}, False),
        ({}, None),
    ],
)
def test_virtual_machines(tmp_path: Path, files: dict[str, str], expected: bool | None) -> None:
    for name, text in files.items():
        write(tmp_path / name, text)
    assert virtual_machine(SystemTree(tmp_path)) is expected


def test_arm_features_count_as_flags(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimddp i8mm")
    assert cpu_flags(SystemTree(tmp_path)) == {"fp", "asimddp", "i8mm"}


def test_kinds_of_sensors_that_are_not_there_are_named_once(tmp_path: Path) -> None:
    laptop = intel_laptop(tmp_path)
    found = discover(os.getpid(), laptop)
    absent = {info.source: info for info in not_here(found, laptop)}
    assert {"ina3221", "nvml:gpu", "npu:busy"} <= absent.keys()
    assert not absent.keys() & {info.source for info in found.sources}
    assert not any(name.startswith("battery") for name in absent)  # it has one
    for info in absent.values():
        assert info.state is SourceState.ABSENT
        assert info.reason
