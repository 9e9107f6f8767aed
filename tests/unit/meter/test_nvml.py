"""NVIDIA GPUs through a replaced `pynvml`: counters, fallbacks, Jetson, containers, errors."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sensor_trees import INTEL_CPUINFO, write

from edgeagent.meter.energy.nvml import discover_nvml
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

PID = 4711
NOT_SUPPORTED, NO_PERMISSION, UNKNOWN, LOST = 3, 4, 999, 15


class FakeNvmlError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


class FakeNvml:
    """Two boards; every call can be replaced by an error number or a value."""

    NVMLError = FakeNvmlError

    def __init__(self, boards: int = 1, **answers: Any) -> None:
        self.boards = boards
        self.answers: dict[str, Any] = {
            "TotalEnergyConsumption": 5_000_123,
            "PowerUsage": 61_500,
            "EnforcedPowerLimit": 300_000,
            "MemoryInfo": SimpleNamespace(used=3 << 30, total=8 << 30),
            "ComputeRunningProcesses": [
                SimpleNamespace(pid=1, usedGpuMemory=7),
                SimpleNamespace(pid=PID, usedGpuMemory=1 << 30),
            ],
            "Temperature": 54,
            "ClockInfo": 1410,
            "CurrentClocksThrottleReasons": 0x1 | 0x4 | 0x20,
            **answers,
        }

    def nvmlInit(self) -> None:  # noqa: N802
        self._answer("Init")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.boards

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def _answer(self, name: str) -> Any:
        answer = self.answers.get(name)
        if isinstance(answer, FakeNvmlError):
            raise answer
        return answer.pop(0) if isinstance(answer, list) and name.startswith("Total") else answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)
        return lambda _handle, *_arguments: self._answer(name.removeprefix("nvmlDeviceGet"))


def outside_containers(tmp_path: Path) -> SystemTree:
    link = tmp_path / "proc" / "self" / "ns" / "pid"
    link.parent.mkdir(parents=True)
    link.symlink_to("pid:[4026531836]")
    return SystemTree(tmp_path)


def sources(found: Discovery) -> dict[str, SourceInfo]:
    return {info.source: info for info in found.sources}


def value(found: Discovery, source: str) -> float:
    (meter,) = (meter for meter in found.meters if meter.info.source == source)
    return meter.read().value


def test_a_gpu_with_a_counter(tmp_path: Path) -> None:
    found = discover_nvml(PID, outside_containers(tmp_path), FakeNvml())
    energy = sources(found)["nvml:gpu-0"]
    assert (energy.kind, energy.scope, energy.quantity) == (
        SampleKind.COUNTER,
        Scope.MODULE,
        "energy_j",
    )
    assert (energy.total, energy.resolution, energy.max_power_w) == ("gpu", 1e-3, 600.0)
    assert value(found, "nvml:gpu-0") == pytest.approx(5000.123)
    assert value(found, "nvml:memory-0") == 1 << 30
    assert value(found, "nvml:memory_used-0") == 3 << 30
    assert value(found, "nvml:temperature-0") == 54.0
    assert value(found, "nvml:clock-0") == 1410e6
    assert value(found, "nvml:throttle-0") == 0x24  # being idle holds nothing back
    scopes = {name: info.scope for name, info in sources(found).items()}
    assert scopes["nvml:memory-0"] is Scope.PROCESS
    assert scopes["nvml:memory_used-0"] is Scope.SYSTEM
    assert all(info.state is SourceState.OK for info in found.sources)


def test_boards_are_addends_of_one_total(tmp_path: Path) -> None:
    found = discover_nvml(PID, SystemTree(tmp_path), FakeNvml(boards=2))
    assert [info.source for info in found.sources if info.total == "gpu"] == [
        "nvml:gpu-0",
        "nvml:gpu-1",
    ]


def test_a_board_without_counter_has_power_under_the_same_name(tmp_path: Path) -> None:
    nvml = FakeNvml(TotalEnergyConsumption=FakeNvmlError(NOT_SUPPORTED))
    found = discover_nvml(PID, SystemTree(tmp_path), nvml)
    power = sources(found)["nvml:gpu-0"]
    assert (power.kind, power.quantity, power.total) == (SampleKind.SAMPLED, "power_w", "gpu")
    assert value(found, "nvml:gpu-0") == pytest.approx(61.5)


def test_a_fresh_counter_is_awaited_and_a_dead_one_is_no_measured_zero(tmp_path: Path) -> None:
    fresh = FakeNvml(TotalEnergyConsumption=[0, 40, 50, 60])
    found = discover_nvml(PID, SystemTree(tmp_path), fresh)
    assert sources(found)["nvml:gpu-0"].kind is SampleKind.COUNTER
    dead = FakeNvml(TotalEnergyConsumption=[0, 0], PowerUsage=FakeNvmlError(NOT_SUPPORTED))
    (energy, *_) = discover_nvml(PID, SystemTree(tmp_path), dead).sources
    assert (energy.state, energy.kind) == (SourceState.STALE, SampleKind.COUNTER)
    assert "stands still" in energy.reason


def test_a_jetson_gets_no_gpu_memory_and_a_reason(tmp_path: Path) -> None:
    write(tmp_path / "proc/device-tree/compatible", "nvidia,p3768\0nvidia,tegra234\0")
    refused = dict.fromkeys(("TotalEnergyConsumption", "PowerUsage"), FakeNvmlError(NOT_SUPPORTED))
    found = discover_nvml(PID, SystemTree(tmp_path), FakeNvml(**refused))
    assert found.meters == ()
    (energy,) = found.sources
    assert energy.state is SourceState.UNSUPPORTED
    assert "power monitor" in energy.reason
    # The same without the library: nothing to install would help.
    (energy,) = discover_nvml(PID, SystemTree(tmp_path)).sources
    assert (energy.state, energy.remedy) == (SourceState.UNSUPPORTED, "")


def test_a_process_that_is_not_listed_uses_none_only_where_all_are_listed(tmp_path: Path) -> None:
    other = {"ComputeRunningProcesses": [SimpleNamespace(pid=1, usedGpuMemory=7)]}
    found = discover_nvml(PID, outside_containers(tmp_path), FakeNvml(**other))
    assert value(found, "nvml:memory-0") == 0.0
    found = discover_nvml(PID, SystemTree(tmp_path / "elsewhere"), FakeNvml(**other))
    memory = sources(found)["nvml:memory-0"]
    assert memory.state is SourceState.ABSENT
    assert "container" in memory.reason


def test_windows_does_not_tell_the_memory_of_a_process(tmp_path: Path) -> None:
    hidden = [SimpleNamespace(pid=PID, usedGpuMemory=None)]
    found = discover_nvml(PID, SystemTree(tmp_path), FakeNvml(ComputeRunningProcesses=hidden))
    assert sources(found)["nvml:memory-0"].state is SourceState.UNSUPPORTED


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (NOT_SUPPORTED, SourceState.UNSUPPORTED),
        (NO_PERMISSION, SourceState.PERMISSION),
        (LOST, SourceState.ABSENT),
        (UNKNOWN, SourceState.STALE),
    ],
)
def test_errors_while_probing_and_later(tmp_path: Path, number: int, state: SourceState) -> None:
    error = FakeNvmlError(number)
    failing = FakeNvml(TotalEnergyConsumption=error, PowerUsage=error)
    energy = sources(discover_nvml(PID, SystemTree(tmp_path), failing))["nvml:gpu-0"]
    assert energy.state is state
    assert energy.reason
    assert bool(energy.remedy) == (state is SourceState.PERMISSION)
    nvml = FakeNvml()
    meter = discover_nvml(PID, SystemTree(tmp_path), nvml).meters[0]
    nvml.answers["TotalEnergyConsumption"] = error
    with pytest.raises(MeterError) as raised:
        meter.read()
    assert raised.value.state is state


def test_a_driver_that_does_not_start_or_has_no_gpu(tmp_path: Path) -> None:
    (energy,) = discover_nvml(PID, SystemTree(tmp_path), FakeNvml(Init=FakeNvmlError(12))).sources
    assert (energy.source, energy.state) == ("nvml:gpu", SourceState.UNSUPPORTED)
    assert "container" in energy.remedy
    (energy,) = discover_nvml(PID, SystemTree(tmp_path), FakeNvml(boards=0)).sources
    assert energy.state is SourceState.ABSENT


def test_without_a_driver_there_is_nothing_to_say(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", INTEL_CPUINFO)
    assert discover_nvml(PID, SystemTree(tmp_path)) == Discovery((), ())


def test_a_tree_of_another_machine_is_not_answered_by_this_one(tmp_path: Path) -> None:
    write(tmp_path / "proc/driver/nvidia/version", "NVRM version")
    (energy,) = discover_nvml(PID, SystemTree(tmp_path)).sources
    assert (energy.source, energy.state) == ("nvml:gpu", SourceState.UNSUPPORTED)
    assert "another" in energy.reason


def test_a_missing_library_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real_import = builtins.__import__

    def without_pynvml(name: str, *arguments: Any) -> Any:
        if name == "pynvml":
            raise ModuleNotFoundError(name)
        return real_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_pynvml)
    monkeypatch.setattr("edgeagent.meter.energy.nvml._driver_present", lambda _tree: True)
    (energy,) = discover_nvml(PID).sources
    assert energy.state is SourceState.UNSUPPORTED
    assert 'pip install "edgeagent[nvidia]"' in energy.remedy
