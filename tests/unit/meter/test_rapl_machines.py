"""RAPL of servers, of kernels that count dies, behind containers, and what happens while reading.

All trees are synthetic; names of zones are those of `intel_rapl_common.c`.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sensor_trees import AMD_RANGE_UJ, INTEL_CPUINFO, INTEL_RANGE_UJ, add_zone, overlay, write

from edgeagent.meter.energy.rapl import RaplMeter, discover_rapl
from edgeagent.meter.protocol import MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.energy import open_totals
from edgeagent.record.samples import Sample, Scope, SourceState

AMD_CPUINFO = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu"


def totals(tree: SystemTree) -> dict[str, str | None]:
    return {source.source: source.total for source in discover_rapl(tree).sources}


def test_each_die_of_an_intel_server_counts_for_itself(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", INTEL_CPUINFO)
    for zone, name in enumerate(
        ("package-0-die-0", "package-0-die-1", "package-1-die-0", "package-1-die-1")
    ):
        add_zone(tmp_path / "sys", f"intel-rapl:{zone}", name, 10_000_000 + zone, INTEL_RANGE_UJ)
        add_zone(tmp_path / "sys", f"intel-rapl:{zone}:0", "dram", 5_000_000, AMD_RANGE_UJ)
    found = totals(SystemTree(tmp_path))
    assert [name for name, total in found.items() if total == "cpu"] == [
        "rapl:package-0-die-0",
        "rapl:package-0-die-1",
        "rapl:package-1-die-0",
        "rapl:package-1-die-1",
    ]
    assert found["rapl:dram-1-die-0"] is None


def test_dies_of_an_amd_package_show_one_counter_that_is_read_once(tmp_path: Path) -> None:
    """Linux 6.10 listed the package's counter for each of its dies, `intel-rapl:c` and all."""
    write(tmp_path / "proc/cpuinfo", AMD_CPUINFO)
    for die, zone in enumerate(("0", "4", "8", "c")):
        name = f"package-0-die-{die}"
        add_zone(tmp_path / "sys", f"intel-rapl:{zone}", name, 77_000_000, AMD_RANGE_UJ)
        add_zone(tmp_path / "sys", f"intel-rapl:{zone}:0", "core", 9, AMD_RANGE_UJ)
    found = discover_rapl(SystemTree(tmp_path))
    assert [meter.info.source for meter in found.meters] == ["rapl:package-0"]
    assert [source.source for source in found.sources] == ["rapl:package-0"]
    assert found.meters[0].read().value == pytest.approx(77.0)


def test_an_amd_desktop_has_its_package_and_no_more(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", AMD_CPUINFO)
    add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 4_000_000, AMD_RANGE_UJ)
    add_zone(tmp_path / "sys", "intel-rapl:0:0", "core", 1_000_000, AMD_RANGE_UJ)
    assert totals(SystemTree(tmp_path)) == {"rapl:package-0": "cpu"}


def test_the_platform_alone_is_read_and_the_missing_package_explained(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", INTEL_CPUINFO)
    add_zone(tmp_path / "sys", "intel-rapl:1", "psys", 4_000_000, INTEL_RANGE_UJ)
    package, platform = discover_rapl(SystemTree(tmp_path)).sources
    assert (package.state, package.remedy) == (SourceState.ABSENT, "")  # the module is loaded
    assert (platform.scope, platform.total) == (Scope.SYSTEM, "system")
    assert platform.max_power_w is not None
    assert platform.max_power_w > 1000


def test_two_platform_counters_are_never_added(tmp_path: Path) -> None:
    add_zone(tmp_path / "sys", "intel-rapl:1", "psys", 4_000_000, INTEL_RANGE_UJ)
    add_zone(tmp_path / "sys", "intel-rapl:3", "psys-1", 5_000_000, INTEL_RANGE_UJ)
    found = discover_rapl(SystemTree(tmp_path))
    assert {meter.info.source: meter.info.total for meter in found.meters} == {
        "rapl:psys": None,
        "rapl:psys-1": None,
    }


def test_the_duplicate_serves_where_the_first_cannot_be_read(tmp_path: Path) -> None:
    add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 1_000_000, INTEL_RANGE_UJ)
    add_zone(tmp_path / "sys", "intel-rapl-mmio:0", "package-0", 2_000_000, INTEL_RANGE_UJ)
    tree = SystemTree(tmp_path, overlay({"intel-rapl:0/energy_uj": errno.EACCES}))
    found = discover_rapl(tree)
    assert [source.state for source in found.sources] == [SourceState.OK]
    assert found.meters[0].read().value == pytest.approx(2.0)


def test_of_two_that_fail_the_first_one_is_explained(tmp_path: Path) -> None:
    add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 1, INTEL_RANGE_UJ)
    add_zone(tmp_path / "sys", "intel-rapl-mmio:0", "package-0", 1, INTEL_RANGE_UJ)
    failures = {"rapl:0/energy_uj": errno.EACCES, "mmio:0/energy_uj": errno.ENODATA}
    (source,) = discover_rapl(SystemTree(tmp_path, overlay(failures))).sources
    assert source.state is SourceState.PERMISSION
    assert source.total == "cpu"  # so the other sockets are not taken for all of them


def test_zones_that_a_container_hides(tmp_path: Path) -> None:
    """Runtimes of containers mount an empty folder over devices/virtual/powercap."""
    write(tmp_path / "proc/cpuinfo", INTEL_CPUINFO)
    link = tmp_path / "sys/class/powercap/intel-rapl:0"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "sys/devices/virtual/powercap/intel-rapl/intel-rapl:0")
    (source,) = discover_rapl(SystemTree(tmp_path)).sources
    assert source.state is SourceState.ABSENT
    assert "containers hide them" in source.reason
    assert source.remedy


def test_a_zone_that_does_not_say_what_it_is_may_be_a_package(tmp_path: Path) -> None:
    for socket in (0, 1):
        zone = f"intel-rapl:{socket}"
        add_zone(tmp_path / "sys", zone, f"package-{socket}", 10**6, INTEL_RANGE_UJ)
    failing = overlay({"intel-rapl:1/name": errno.EIO})
    sources = {
        source.source: source for source in discover_rapl(SystemTree(tmp_path, failing)).sources
    }
    assert sources["rapl:package-0"].state is SourceState.OK
    other = sources["rapl:intel-rapl:1"]
    assert (other.state, other.total) == (SourceState.STALE, "cpu")


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> list[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    (source,) = discover_rapl(SystemTree(tmp_path)).sources
    assert source.state is SourceState.PERMISSION
    assert "cannot be listed" in source.reason


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.ENODATA, SourceState.STALE),
        (errno.EAGAIN, SourceState.STALE),
        (errno.ENODEV, SourceState.ABSENT),
        (errno.ENOENT, SourceState.ABSENT),
        (errno.EACCES, SourceState.PERMISSION),
    ],
)
def test_a_failure_while_measuring_says_what_it_means(
    tmp_path: Path, number: int, state: SourceState
) -> None:
    add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 1_000_000, INTEL_RANGE_UJ)
    (meter,) = discover_rapl(SystemTree(tmp_path)).meters
    assert isinstance(meter, RaplMeter)
    with pytest.raises(MeterError) as caught:
        replace(meter, read_file=overlay({"energy_uj": number})).read()
    assert caught.value.state is state


def test_a_package_that_is_unplugged(tmp_path: Path) -> None:
    energy = add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 1_000_000, INTEL_RANGE_UJ)
    (meter,) = discover_rapl(SystemTree(tmp_path)).meters
    energy.unlink()
    with pytest.raises(MeterError) as caught:
        meter.read()
    assert caught.value.state is SourceState.ABSENT


def energy_between(tmp_path: Path, values_uj: tuple[int, ...]) -> float | None:
    """Return the processor's joules over readings a tenth of a second apart."""
    energy = add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", values_uj[0], AMD_RANGE_UJ)
    found = discover_rapl(SystemTree(tmp_path))
    samples: list[Sample] = []
    for index, value_uj in enumerate(values_uj):
        write(energy, str(value_uj))
        sample = found.meters[0].read()
        samples.append(sample.model_copy(update={"t_ns": index * 10**8, "width_ns": 0}))
    (total,) = open_totals(found.sources, {"rapl:package-0": samples}, {})
    windows = total.windows(np.array([0]), np.array([(len(values_uj) - 1) * 10**8]))
    return None if windows.code[0] else float(windows.energy_nj[0]) * 1e-9


def test_the_counter_wraps_at_its_range(tmp_path: Path) -> None:
    joules = energy_between(tmp_path, (AMD_RANGE_UJ - 4_000_000, AMD_RANGE_UJ - 500_000, 2_250_000))
    assert joules == pytest.approx(6.25, abs=1e-4)


def test_a_counter_that_was_reset_gives_no_number(tmp_path: Path) -> None:
    assert energy_between(tmp_path, (30_000_000_000, 30_001_000_000, 12_000_000)) is None
