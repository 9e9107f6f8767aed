"""Memory of a process from outside it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sensor_trees import overlay, write

from edgeagent.meter.memory.process import discover_process, reset_rss_peak
from edgeagent.meter.protocol import Meter, MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import Scope, SourceState

STATUS = """Name:\tpython
VmHWM:\t  300 kB
VmRSS:\t  200 kB
RssAnon:\t  150 kB
RssFile:\t   50 kB
VmSwap:\t    0 kB
Threads:\t1
"""
ROLLUP = """00400000-7fff r--p 00000000 00:00 0    [rollup]
Rss:                 200 kB
Pss:                 120 kB
Private_Clean:        30 kB
Private_Dirty:        60 kB
"""
MEMINFO = "MemTotal:  1000 kB\nMemAvailable:  640 kB\nSwapFree:  10 kB\nHugePages_Total: 0\n"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    write(folder / "7/status", STATUS)
    write(folder / "7/smaps_rollup", ROLLUP)
    write(folder / "meminfo", MEMINFO)
    return folder


def by_name(meters: tuple[Meter, ...]) -> dict[str, Meter]:
    return {meter.info.source: meter for meter in meters}


def test_values_of_a_known_tree(proc: Path) -> None:
    found = discover_process(7, SystemTree(proc.parent))
    values = {name: meter.read().value / 1024 for name, meter in by_name(found.meters).items()}
    assert values == {
        "process:rss": 200,
        "process:rss_peak": 300,
        "process:rss_anon": 150,
        "process:rss_file": 50,
        "process:swap": 0,
        "process:pss": 120,
        "process:uss": 90,
        "system:memory_available": 640,
        "system:swap_free": 10,
    }
    scopes = {meter.info.source: meter.info.scope for meter in found.meters}
    assert scopes["process:rss"] is Scope.PROCESS
    assert scopes["system:memory_available"] is Scope.SYSTEM


def test_one_look_serves_every_meter_once_and_a_second_read_looks_again(proc: Path) -> None:
    meters = by_name(discover_process(7, SystemTree(proc.parent)).meters)
    rss, peak = meters["process:rss"], meters["process:rss_peak"]
    rss.read()
    peak.read()
    write(proc / "7/status", STATUS.replace("200 kB", "999 kB").replace("300 kB", "999 kB"))
    first = rss.read()
    second = peak.read()
    assert first.value == second.value == 999 * 1024
    assert first.t_ns == second.t_ns


def test_the_slow_file_is_read_once_a_second_at_most(proc: Path) -> None:
    meters = by_name(discover_process(7, SystemTree(proc.parent)).meters)
    assert meters["process:rss"].min_interval_s == 0
    assert meters["process:pss"].min_interval_s >= 1


def test_missing_values_and_files_are_told_apart(proc: Path) -> None:
    write(proc / "7/status", STATUS.replace("RssAnon", "Other"))
    states = {
        source.source: source.state
        for source in discover_process(
            7, SystemTree(proc.parent, overlay({"smaps_rollup": errno.EACCES}))
        ).sources
    }
    assert states["process:rss_anon"] is SourceState.UNSUPPORTED
    assert states["process:pss"] is SourceState.PERMISSION
    assert states["process:rss"] is SourceState.OK


@pytest.mark.parametrize("text", ["", "VmRSS: lots kB\n", "VmRSS\n", "\x00\xff"])
def test_a_zombie_or_nonsense_is_a_meter_error_never_a_zero(proc: Path, text: str) -> None:
    meter = by_name(discover_process(7, SystemTree(proc.parent)).meters)["process:rss"]
    write(proc / "7/status", text)
    with pytest.raises(MeterError, match="process:rss"):
        meter.read()


def test_without_proc_psutil_answers(tmp_path: Path) -> None:
    found = discover_process(os.getpid(), SystemTree(tmp_path))
    meters = by_name(found.meters)
    rss = psutil.Process().memory_info().rss
    assert meters["process:rss"].read().value == pytest.approx(rss, rel=0.2)
    assert meters["system:memory_available"].read().value > 0
    states = {source.source: source for source in found.sources}
    assert states["process:pss"].state is SourceState.UNSUPPORTED
    assert states["process:pss"].reason


def test_a_process_that_does_not_exist_is_absent(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    sources = {
        source.source: source
        for source in discover_process(child.pid, SystemTree(tmp_path)).sources
    }
    assert sources["process:rss"].state is SourceState.ABSENT
    assert sources["system:memory_available"].state is SourceState.OK


@linux_only
def test_a_child_is_seen_to_grow_and_its_end_is_an_error() -> None:
    code = """if True:
        import sys
        print(flush=True)
        sys.stdin.read(1)
        block = b"x" * (64 << 20)
        print(flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        child.stdout.readline()
        meters = by_name(discover_process(child.pid).meters)
        before = {name: meter.read().value for name, meter in meters.items()}
        child.stdin.write(b"1")
        child.stdin.flush()
        child.stdout.readline()
        after = {name: meter.read().value for name, meter in meters.items()}
        for name in ("process:rss", "process:rss_anon", "process:rss_peak", "process:pss"):
            assert after[name] - before[name] == pytest.approx(64 << 20, rel=0.1), name
        child.stdin.close()
        child.wait()
    with pytest.raises(MeterError):
        meters["process:rss"].read()


@linux_only
def test_the_peak_can_start_anew() -> None:
    meter = by_name(discover_process(os.getpid()).meters)["process:rss_peak"]
    block = b"x" * (64 << 20)
    high = meter.read().value
    del block
    if not reset_rss_peak():
        pytest.skip("clear_refs is not writable here")
    assert meter.read().value < high - (32 << 20)


def test_the_peak_cannot_start_anew_without_proc(tmp_path: Path) -> None:
    assert reset_rss_peak(SystemTree(tmp_path)) is False
