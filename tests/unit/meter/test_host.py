"""The host's record and facts, from trees of several machines."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from sensor_trees import INTEL_CPUINFO, VM_CPUINFO, write

from edgeagent.meter.host.facts import HostFact, cpu_name, host_facts, host_record
from edgeagent.meter.tree import SystemTree


def facts(root: Path) -> dict[str, HostFact]:
    return {fact.name: fact for fact in host_facts(SystemTree(root))}


def test_this_machine() -> None:
    record = host_record()
    assert record.cpu
    assert record.cores_usable >= 1
    assert record.memory_bytes > 64 << 20
    names = [fact.name for fact in host_facts()]
    assert len(names) == len(set(names))
    assert {"cores", "memory", "governor", "power supply", "load", "swap"} <= set(names)


def test_memory_is_the_containers_limit_where_that_is_lower(tmp_path: Path) -> None:
    root, proc = tmp_path / "sys", tmp_path / "proc"
    write(proc / "self/cgroup", "0::/")
    write(root / "fs/cgroup/memory.max", str(10**9))
    write(root / "fs/cgroup/cpu.max", "150000 100000")
    assert host_record(SystemTree(tmp_path)).memory_bytes == 10**9
    assert facts(tmp_path)["container limits"].value == "1.5 CPUs, 1.0 GB"
    assert facts(tmp_path)["memory"].note == "limited by the container"
    write(root / "fs/cgroup/memory.max", str(1 << 60))
    assert host_record(SystemTree(tmp_path)).memory_bytes == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"cpuinfo": INTEL_CPUINFO}, "Intel(R) Core(TM) i7"),
        (
            {
                "cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b",
                "device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\x00",
            },
            "Raspberry Pi 5 Model B Rev 1.0 (Cortex-A76)",
        ),
        ({"cpuinfo": "CPU implementer\t: 0x41\nCPU part\t: 0xfff"}, "Arm part 0xfff"),
        ({"device-tree/model": "Some Board\x00"}, "Some Board"),
    ],
)
def test_processor_names(tmp_path: Path, files: dict[str, str], name: str) -> None:
    for path, text in files.items():
        write(tmp_path / "proc" / path, text)
    assert cpu_name(SystemTree(tmp_path)) == name


def test_a_system_that_tells_nothing_still_has_a_name(tmp_path: Path) -> None:
    assert cpu_name(SystemTree(tmp_path))


@pytest.mark.parametrize(("driver", "held_down"), [("acpi-cpufreq", True), ("intel_pstate", False)])
def test_powersave_means_different_things(tmp_path: Path, driver: str, held_down: bool) -> None:
    policy = tmp_path / "sys/devices/system/cpu/cpufreq/policy0"
    write(policy / "scaling_governor", "powersave")
    write(policy / "scaling_driver", driver)
    governor = facts(tmp_path)["governor"]
    assert governor.value == "powersave"
    assert bool(governor.note) is held_down


def test_an_empty_tree_gives_unknowns_and_no_errors(tmp_path: Path) -> None:
    found = facts(tmp_path)
    for name in ("governor", "instructions", "machine"):
        assert found[name].value is None, name


def test_instructions_and_virtual_machine(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    write(proc / "cpuinfo", VM_CPUINFO)
    assert facts(tmp_path)["instructions"].value == "avx2"
    assert facts(tmp_path)["machine"].value == "virtual"
    write(proc / "cpuinfo", "Features\t: fp asimd asimddp i8mm")
    assert facts(tmp_path)["instructions"].value == "dotprod, i8mm"
    write(proc / "cpuinfo", "flags\t: fpu sse2")
    assert facts(tmp_path)["instructions"].value == "none"
    assert facts(tmp_path)["machine"].value == "bare metal"


@pytest.mark.parametrize(
    ("battery", "value"),
    [
        (None, "no battery"),
        (SimpleNamespace(percent=80.0, power_plugged=True), "mains, battery at 80 %"),
        (SimpleNamespace(percent=41.5, power_plugged=False), "battery at 42 %"),
    ],
)
def test_power_supply(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, battery: object, value: str
) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert facts(tmp_path)["power supply"].value == value


def test_a_system_without_battery_support(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(psutil, "sensors_battery", raising=False)
    assert facts(tmp_path)["power supply"].value is None
