"""Package energy through perf: where it is used, what it says when it may not, and never twice.

The description of the unit is transcribed from `arch/x86/events/rapl.c`; topologies are synthetic.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from pathlib import Path

import pytest
from sensor_trees import INTEL_CPUINFO, INTEL_RANGE_UJ, add_zone, overlay, write

from edgeagent.meter.energy import perf_event
from edgeagent.meter.energy.cpu import discover_cpu
from edgeagent.meter.energy.perf_event import architecture, open_cpu_event
from edgeagent.meter.energy.perf_rapl import discover_perf
from edgeagent.meter.protocol import MeterError
from edgeagent.meter.sampler.edges import EdgeReader
from edgeagent.meter.tree import Reader, SystemTree, read_text
from edgeagent.record.samples import SampleKind, Scope, SourceState

JOULES_PER_COUNT = 2.0**-32
AMD_CPUINFO = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu"


def perf_tree(
    tmp_path: Path,
    cpus: dict[int, tuple[int, int]],
    read: Reader = read_text,
    cpuinfo: str = INTEL_CPUINFO,
) -> SystemTree:
    """Build the unit `power`; `cpus` are those of the mask with their package and die."""
    unit = tmp_path / "sys/bus/event_source/devices/power"
    write(unit / "type", "23")
    write(unit / "cpumask", ",".join(str(cpu) for cpu in cpus))
    write(unit / "format/event", "config:0-7")
    write(unit / "events/energy-pkg", "event=0x02")
    write(unit / "events/energy-pkg.scale", "2.3283064365386962890625e-10")
    write(unit / "events/energy-pkg.unit", "Joules")
    for cpu, (package, die) in cpus.items():
        topology = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        write(topology / "physical_package_id", str(package))
        write(topology / "die_id", str(die))
    write(tmp_path / "proc/cpuinfo", cpuinfo)
    write(tmp_path / "proc/sys/kernel/perf_event_paranoid", "2")
    return SystemTree(tmp_path, read)


class Counters:
    """Stands for the kernel: opens counters that rise by a joule with each reading."""

    def __init__(self, refuse: dict[int, int] | None = None, step_j: float = 1.0) -> None:
        self.opened: list[tuple[int, int, int]] = []
        self._refuse = refuse or {}
        self._step = round(step_j / JOULES_PER_COUNT)

    def __call__(self, pmu: int, config: int, cpu: int) -> Rising:
        if cpu in self._refuse:
            number = self._refuse[cpu]
            raise OSError(number, os.strerror(number))
        self.opened.append((pmu, config, cpu))
        return Rising(self._step)


class Rising:
    def __init__(self, step: int) -> None:
        self.count = 0
        self.step = step
        self.failure: Exception | None = None

    def read(self) -> int:
        if self.failure is not None:
            raise self.failure
        self.count += self.step
        return self.count


def test_one_counter_is_opened_for_each_socket(tmp_path: Path) -> None:
    kernel = Counters()
    found = discover_perf(perf_tree(tmp_path, {0: (0, 0), 24: (1, 0)}), kernel)
    assert kernel.opened == [(23, 2, 0), (23, 2, 24)]
    assert [meter.info.source for meter in found.meters] == ["perf:package-0", "perf:package-1"]
    info = found.meters[0].info
    assert (info.kind, info.scope, info.total) == (SampleKind.COUNTER, Scope.PACKAGE, "cpu")
    assert info.counter_range is None
    assert info.resolution == pytest.approx(JOULES_PER_COUNT)
    first, second = found.meters[0].read(), found.meters[0].read()
    assert second.value - first.value == pytest.approx(1.0)


def test_the_measured_process_leaves_the_counters_to_the_sampler(tmp_path: Path) -> None:
    """Both would count from the moment they opened, and their readings are put together."""
    found = discover_perf(perf_tree(tmp_path, {0: (0, 0)}), Counters())
    assert found.meters
    assert EdgeReader(found.meters).meters == ()


def test_dies_of_intel_count_apart_and_those_of_amd_together(tmp_path: Path) -> None:
    cpus = {0: (0, 0), 8: (0, 1)}
    intel = discover_perf(perf_tree(tmp_path / "intel", cpus), Counters())
    assert [meter.info.source for meter in intel.meters] == [
        "perf:package-0-die-0",
        "perf:package-0-die-1",
    ]
    kernel = Counters()
    amd = discover_perf(perf_tree(tmp_path / "amd", cpus, cpuinfo=AMD_CPUINFO), kernel)
    assert [meter.info.source for meter in amd.meters] == ["perf:package-0"]
    assert kernel.opened == [(23, 2, 0)]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_refusal_names_the_setting_and_the_remedy(tmp_path: Path, number: int) -> None:
    found = discover_perf(perf_tree(tmp_path, {0: (0, 0)}), Counters({0: number}))
    (source,) = found.sources
    assert found.meters == ()
    assert source.state is SourceState.PERMISSION
    assert "kernel.perf_event_paranoid is 2" in source.reason
    assert "perf_event_paranoid=0" in source.remedy
    assert "cap_perfmon" in source.remedy


def test_a_kernel_without_the_call_and_a_counter_that_stands_still(tmp_path: Path) -> None:
    tree = perf_tree(tmp_path, {0: (0, 0), 1: (1, 0)})
    refused, still = discover_perf(tree, Counters({0: errno.ENOSYS}, step_j=0.0)).sources
    assert (refused.state, refused.remedy) == (SourceState.UNSUPPORTED, "")
    assert still.state is SourceState.STALE
    assert "stands still" in still.reason


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("type", "none"),
        ("cpumask", "0-"),
        ("cpumask", "0-99999"),
        ("events/energy-pkg", "event=2; rm"),
        ("events/energy-pkg", "event=0x100"),
        ("events/energy-pkg.unit", "Watts"),
        ("events/energy-pkg.scale", "nan"),
        ("events/energy-pkg.scale", "1"),
        ("format/event", "config1:0-7"),
    ],
)
def test_a_description_that_makes_no_sense_opens_nothing(
    tmp_path: Path, file: str, text: str
) -> None:
    tree = perf_tree(tmp_path, {0: (0, 0)})
    write(tmp_path / "sys/bus/event_source/devices/power" / file, text)
    kernel = Counters()
    (source,) = discover_perf(tree, kernel).sources
    assert source.state in {SourceState.UNSUPPORTED, SourceState.ABSENT}
    assert "makes no sense" in source.reason
    assert kernel.opened == []


def test_a_counter_that_ends_while_measuring(tmp_path: Path) -> None:
    counter = Rising(5)
    found = discover_perf(perf_tree(tmp_path, {0: (0, 0)}), lambda *_: counter)
    counter.failure = ValueError("the counter is switched off")
    with pytest.raises(MeterError, match="switched off"):
        found.meters[0].read()


def test_readable_files_need_no_perf(tmp_path: Path) -> None:
    add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 1_000_000, INTEL_RANGE_UJ)
    kernel = Counters()
    found = discover_cpu(perf_tree(tmp_path, {0: (0, 0)}), kernel)
    assert [meter.info.source for meter in found.meters] == ["rapl:package-0"]
    assert kernel.opened == []


def test_perf_stands_in_for_files_that_only_root_reads(tmp_path: Path) -> None:
    add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 1_000_000, INTEL_RANGE_UJ)
    tree = perf_tree(tmp_path, {0: (0, 0)}, overlay({"energy_uj": errno.EACCES}))
    found = discover_cpu(tree, Counters())
    by_name = {source.source: source for source in found.sources}
    assert {name: source.total for name, source in by_name.items()} == {
        "rapl:package-0": None,
        "perf:package-0": "cpu",
    }
    assert by_name["rapl:package-0"].state is SourceState.PERMISSION
    assert "perf:package-0 instead" in by_name["rapl:package-0"].reason
    assert [meter.info.source for meter in found.meters] == ["perf:package-0"]


def test_a_processor_is_never_the_sum_of_both_interfaces(tmp_path: Path) -> None:
    for socket in (0, 1):
        add_zone(
            tmp_path / "sys", f"intel-rapl:{socket}", f"package-{socket}", 10**6, INTEL_RANGE_UJ
        )
    failing = overlay({"intel-rapl:1/energy_uj": errno.EACCES})
    tree = perf_tree(tmp_path, {0: (0, 0), 9: (1, 0)}, failing)
    addends = {m.info.source for m in discover_cpu(tree, Counters()).meters if m.info.total}
    assert addends == {"perf:package-0", "perf:package-1"}


def test_what_nobody_can_read_stays_in_the_total_so_that_it_is_unknown(tmp_path: Path) -> None:
    add_zone(tmp_path / "sys", "intel-rapl:0", "package-0", 1_000_000, INTEL_RANGE_UJ)
    tree = perf_tree(tmp_path, {0: (0, 0)}, overlay({"energy_uj": errno.EACCES}))
    found = discover_cpu(tree, Counters({0: errno.EACCES}))
    assert found.meters == ()
    assert {(source.source, source.total) for source in found.sources} == {
        ("rapl:package-0", "cpu"),
        ("perf:package-0", "cpu"),
    }
    assert all(source.remedy for source in found.sources)


def test_counters_of_this_kernel_are_not_read_for_another_machine(tmp_path: Path) -> None:
    names = {source.source for source in discover_cpu(perf_tree(tmp_path, {0: (0, 0)})).sources}
    assert names == {"rapl:package"}


def test_the_system_call_gets_the_event_as_the_kernel_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf_event, "architecture", lambda: "x86_64")
    calls: list[tuple[int, bytes, int]] = []
    count = tmp_path / "count"
    count.write_bytes((1234567890123).to_bytes(8, sys.byteorder))

    def kernel(number: int, attr: bytes, cpu: int) -> int:
        calls.append((number, attr, cpu))
        return os.open(count, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    counter = open_cpu_event(23, 2, 7, kernel)
    ((number, attr, cpu),) = calls
    assert (number, cpu, len(attr)) == (298, 7, 64)
    assert struct.unpack_from("=IIQ", attr) == (23, 64, 2)
    assert not any(attr[16:])
    assert counter.read() == 1234567890123
    with pytest.raises(ValueError, match="switched off"):
        counter.read()  # the file is at its end, as a counter whose processor went offline
    counter.close()
    with pytest.raises(OSError, match="descriptor"):
        counter.read()


@pytest.mark.parametrize(
    ("machine", "wide", "expected"),
    [
        ("x86_64", True, "x86_64"),
        ("AMD64", True, "x86_64"),
        ("x86_64", False, "i386"),
        ("i686", False, "i386"),
        ("arm64", True, "aarch64"),
        ("aarch64", False, "arm"),
        ("armv7l", False, "arm"),
        ("sparc64", True, "sparc64"),
    ],
)
def test_the_number_of_the_call_is_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch, machine: str, wide: bool, expected: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("ctypes.sizeof", lambda _: 8 if wide else 4)
    assert architecture() == expected


def test_an_architecture_without_a_known_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_event, "architecture", lambda: "sparc64")
    with pytest.raises(OSError, match="no known number") as caught:
        open_cpu_event(23, 2, 0)
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.skipif(sys.platform != "linux", reason="perf is part of Linux")
def test_the_running_kernel_counts() -> None:
    """The processor clock (unit `software`) needs the same rights and no RAPL."""
    try:
        counter = open_cpu_event(1, 0, 0)
    except OSError as error:
        pytest.skip(f"the kernel refuses: {error}")
    first = counter.read()
    assert counter.read() > first
    counter.close()
