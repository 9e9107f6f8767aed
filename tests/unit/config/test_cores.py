"""Core counts and container limits from file trees of both control group versions."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from edgeagent.config import cores
from edgeagent.config.cgroup import cpu_quota, memory_limit_bytes
from edgeagent.config.cores import (
    installed_physical_cores,
    usable_cores,
    usable_physical_cores,
)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


@pytest.fixture
def sys_root(tmp_path: Path) -> Path:
    return tmp_path / "sys"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return tmp_path / "proc"


def set_affinity(monkeypatch: pytest.MonkeyPatch, cpus: set[int]) -> None:
    monkeypatch.setattr(cores, "_affinity", lambda: frozenset(cpus))


def test_no_control_groups_mean_no_limit(sys_root: Path, proc: Path) -> None:
    assert cpu_quota(sys_root, proc) is None
    assert memory_limit_bytes(sys_root, proc) is None


def test_version_2_takes_the_tightest_limit_of_all_ancestors(sys_root: Path, proc: Path) -> None:
    write(proc / "self/cgroup", "0::/user.slice/app.scope\n")
    write(sys_root / "fs/cgroup/user.slice/app.scope/cpu.max", "max 100000\n")
    write(sys_root / "fs/cgroup/user.slice/cpu.max", "150000 100000\n")
    write(sys_root / "fs/cgroup/user.slice/app.scope/memory.max", "2147483648\n")
    write(sys_root / "fs/cgroup/user.slice/memory.max", "max\n")
    assert cpu_quota(sys_root, proc) == 1.5
    assert memory_limit_bytes(sys_root, proc) == 2 << 30


def test_version_1_in_a_container_that_sees_only_the_mount_point(
    sys_root: Path, proc: Path
) -> None:
    write(proc / "self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    write(sys_root / "fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
    write(sys_root / "fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    write(sys_root / "fs/cgroup/memory/memory.limit_in_bytes", "536870912\n")
    assert cpu_quota(sys_root, proc) == 2.0
    assert memory_limit_bytes(sys_root, proc) == 512 << 20


def test_version_1_no_limit_values(sys_root: Path, proc: Path) -> None:
    write(proc / "self/cgroup", "4:memory:/\n3:cpu:/\n")
    write(sys_root / "fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(sys_root / "fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    write(sys_root / "fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert cpu_quota(sys_root, proc) is None
    assert memory_limit_bytes(sys_root, proc) is None


def test_a_group_outside_the_namespace_does_not_leave_the_mount_point(
    sys_root: Path, proc: Path
) -> None:
    write(proc / "self/cgroup", "0::/../../other\n")
    write(sys_root.parent / "other/cpu.max", "100000 100000\n")
    write(sys_root / "fs/cgroup/cpu.max", "300000 100000\n")
    assert cpu_quota(sys_root, proc) == 3.0


@pytest.mark.parametrize("text", ["", "garbage", "100000", "-5 100000", "100000 0", "\x00 1"])
def test_malformed_limits_are_no_limits(sys_root: Path, proc: Path, text: str) -> None:
    write(proc / "self/cgroup", "0::/\n")
    write(sys_root / "fs/cgroup/cpu.max", text)
    assert cpu_quota(sys_root, proc) is None


def test_usable_cores_are_the_affinity_mask_reduced_by_the_quota(
    monkeypatch: pytest.MonkeyPatch, sys_root: Path, proc: Path
) -> None:
    set_affinity(monkeypatch, {0, 1, 2, 3})
    assert usable_cores(sys_root, proc) == 4
    write(proc / "self/cgroup", "0::/\n")
    write(sys_root / "fs/cgroup/cpu.max", "250000 100000\n")
    assert usable_cores(sys_root, proc) == 2
    write(sys_root / "fs/cgroup/cpu.max", "20000 100000\n")
    assert usable_cores(sys_root, proc) == 1


def test_hardware_threads_of_one_core_count_once(
    monkeypatch: pytest.MonkeyPatch, sys_root: Path, proc: Path
) -> None:
    for cpu, siblings in {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5"}.items():
        path = sys_root / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        write(path, siblings + "\n")
    set_affinity(monkeypatch, {0, 1, 4, 5})
    assert usable_physical_cores(sys_root, proc) == 2
    set_affinity(monkeypatch, {0, 4})
    assert usable_physical_cores(sys_root, proc) == 1


def test_without_topology_the_installed_cores_bound_the_usable_ones(
    monkeypatch: pytest.MonkeyPatch, sys_root: Path, proc: Path
) -> None:
    set_affinity(monkeypatch, {0, 1, 2, 3, 4, 5})
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 8 if logical else 4)
    assert usable_physical_cores(sys_root, proc) == 4
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 8 if logical else None)
    assert usable_physical_cores(sys_root, proc) == 6


def test_this_machine() -> None:
    assert 1 <= usable_physical_cores() <= usable_cores()
    assert installed_physical_cores() is None or installed_physical_cores() >= 1
