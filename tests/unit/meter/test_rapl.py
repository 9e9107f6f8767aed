"""RAPL zones: which are read, which are dropped, and what is said about those that fail."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from sensor_trees import (
    AMD_RANGE_UJ,
    INTEL_CPUINFO,
    INTEL_RANGE_UJ,
    VM_CPUINFO,
    add_zone,
    intel_laptop,
    overlay,
    write,
)

from edgeagent.meter.energy.rapl import RaplMeter, discover_rapl
from edgeagent.meter.protocol import MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SampleKind, Scope, SourceState


def test_laptop_has_one_package_and_psys_and_no_parts_or_duplicates(tmp_path: Path) -> None:
    found = discover_rapl(intel_laptop(tmp_path))
    assert [(source.source, source.scope) for source in found.sources] == [
        ("rapl:package-0", Scope.PACKAGE),
        ("rapl:psys", Scope.SYSTEM),
    ]
    assert all(source.state is SourceState.OK for source in found.sources)
    package = found.meters[0]
    assert package.read().value == pytest.approx(26963.529117)
    assert package.info.kind is SampleKind.COUNTER
    assert package.info.quantity == "energy_j"
    assert package.info.counter_range == pytest.approx(262143.328850)
    assert package.info.resolution == pytest.approx(61.035e-6)
    assert package.info.interval_s == pytest.approx(1e-3)


def test_the_stamp_is_the_midpoint_of_the_read(tmp_path: Path) -> None:
    meter = discover_rapl(intel_laptop(tmp_path)).meters[0]
    first, second = meter.read(), meter.read()
    assert first.width_ns > 0
    assert second.t_ns - first.t_ns >= (first.width_ns + second.width_ns) // 2 - 1


def test_server_with_two_sockets_on_amd_ranges_and_memory_counters(tmp_path: Path) -> None:
    root = tmp_path / "sys"
    for socket in (0, 1):
        add_zone(root, f"intel-rapl:{socket}", f"package-{socket}", 1000 + socket, AMD_RANGE_UJ)
        add_zone(root, f"intel-rapl:{socket}:0", "core", 10, AMD_RANGE_UJ)
        add_zone(root, f"intel-rapl:{socket}:1", "dram", 20, AMD_RANGE_UJ)
    found = discover_rapl(SystemTree(tmp_path))
    assert {source.source: source.scope for source in found.sources} == {
        "rapl:package-0": Scope.PACKAGE,
        "rapl:dram-0": Scope.RAIL,
        "rapl:package-1": Scope.PACKAGE,
        "rapl:dram-1": Scope.RAIL,
    }
    assert found.meters[0].info.resolution == pytest.approx(2**-16, rel=1e-3)


def test_mmio_stands_in_where_it_is_the_only_one(tmp_path: Path) -> None:
    root = tmp_path / "sys"
    add_zone(root, "intel-rapl-mmio:0", "package-0", 5_000_000, INTEL_RANGE_UJ)
    assert [meter.read().value for meter in discover_rapl(SystemTree(tmp_path)).meters] == [5.0]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_no_permission_says_how_to_get_it(tmp_path: Path, number: int) -> None:
    found = discover_rapl(intel_laptop(tmp_path, overlay({"energy_uj": number})))
    assert found.meters == ()
    package = found.sources[0]
    assert (package.source, package.state) == ("rapl:package-0", SourceState.PERMISSION)
    assert "energy_uj cannot be read" in package.reason
    assert "tmpfiles.d" in package.remedy
    assert "devices/virtual/powercap/intel-rapl:0/energy_uj 0440" in package.remedy


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.ENODATA, SourceState.STALE),
        (errno.EAGAIN, SourceState.STALE),
        (errno.EOPNOTSUPP, SourceState.UNSUPPORTED),
        (errno.ENOENT, SourceState.ABSENT),
    ],
)
def test_other_errors_while_probing(tmp_path: Path, number: int, state: SourceState) -> None:
    found = discover_rapl(intel_laptop(tmp_path, overlay({"energy_uj": number})))
    assert found.meters == ()
    assert found.sources[0].state is state
    assert found.sources[0].reason


def test_a_counter_that_stands_at_zero_is_not_taken_for_a_measured_zero(tmp_path: Path) -> None:
    root = tmp_path / "sys"
    add_zone(root, "intel-rapl:0", "package-0", 0, INTEL_RANGE_UJ)
    found = discover_rapl(SystemTree(tmp_path))
    assert found.meters == ()
    assert found.sources[0].state is SourceState.STALE


@pytest.mark.parametrize("text", ["", "garbage", "0x10"])
def test_text_that_is_no_number_is_unsupported(tmp_path: Path, text: str) -> None:
    root = tmp_path / "sys"
    energy = add_zone(root, "intel-rapl:0", "package-0", 1, INTEL_RANGE_UJ)
    energy.write_text(text, encoding="ascii")
    assert discover_rapl(SystemTree(tmp_path)).sources[0].state is SourceState.UNSUPPORTED


def test_without_a_range_the_counter_is_read_but_may_not_wrap(tmp_path: Path) -> None:
    root = tmp_path / "sys"
    energy = add_zone(root, "intel-rapl:0", "package-0", 7_000_000, INTEL_RANGE_UJ)
    (energy.parent / "max_energy_range_uj").unlink()
    (meter,) = discover_rapl(SystemTree(tmp_path)).meters
    assert meter.info.counter_range is None
    assert meter.info.resolution is None


@pytest.mark.parametrize("number", [errno.ENODATA, errno.EAGAIN, errno.ENOENT, errno.EACCES])
def test_an_error_later_is_a_meter_error_never_a_zero(tmp_path: Path, number: int) -> None:
    meter = discover_rapl(intel_laptop(tmp_path)).meters[0]
    assert isinstance(meter, RaplMeter)
    failing = RaplMeter(meter.info, meter.path, overlay({"energy_uj": number}))
    with pytest.raises(MeterError, match="energy_uj"):
        failing.read()


@pytest.mark.parametrize("text", ["", "-5", "nonsense"])
def test_nonsense_later_is_a_meter_error(tmp_path: Path, text: str) -> None:
    meter = discover_rapl(intel_laptop(tmp_path)).meters[0]
    assert isinstance(meter, RaplMeter)
    meter.path.write_text(text, encoding="ascii")
    with pytest.raises(MeterError):
        meter.read()


def test_a_virtual_machine_is_told_so(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", VM_CPUINFO)
    (source,) = discover_rapl(SystemTree(tmp_path)).sources
    assert source.source == "rapl:package"
    assert source.state is SourceState.ABSENT
    assert "virtual machine: the hypervisor hides RAPL" in source.reason
    assert source.remedy


def test_a_bare_x86_machine_is_told_which_module_to_load(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", INTEL_CPUINFO)
    (source,) = discover_rapl(SystemTree(tmp_path)).sources
    assert "intel_rapl_msr" in source.remedy
    assert "virtual" not in source.reason


def test_an_arm_board_has_none(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "Features\t: fp asimd asimddp\nCPU part\t: 0xd0b")
    (source,) = discover_rapl(SystemTree(tmp_path)).sources
    assert source.state is SourceState.ABSENT
    assert source.remedy == ""
