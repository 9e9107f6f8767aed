"""Processor time of others: exact on a known tree, and seen on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from sensor_trees import write

from edgeagent.meter.host.load import (
    OTHER,
    STEAL,
    TIME,
    LinuxLoad,
    PortableLoad,
    discover_load,
    shares,
)
from edgeagent.meter.protocol import MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SampleKind, SourceState

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
BUSY = "while True: pass"


def machine(root: Path, *, user: int, idle: int, steal: int = 0, guest: int = 0) -> None:
    write(root / "proc/cpuinfo", "flags\t: fpu")
    # user nice system idle iowait irq softirq steal guest guest_nice
    line = f"cpu  {user} 10 20 {idle} 5 1 2 {steal} {guest} 0"
    write(root / "proc/stat", f"{line}\ncpu0 1 2 3")


def process(root: Path, pid: int, parent: int, ticks: tuple[int, int, int, int]) -> None:
    name = "a (nasty) name"
    used = " ".join(str(count) for count in ticks)
    text = f"{pid} ({name}) S {parent} 1 1 0 -1 4194560 1 0 0 0 {used} 20 0 1 0 100 0 0"
    write(root / f"proc/{pid}/stat", text)


@pytest.fixture
def tree(tmp_path: Path) -> SystemTree:
    machine(tmp_path, user=1000, idle=9000, steal=50, guest=400)
    process(tmp_path, 1, 0, (100, 0, 0, 0))
    process(tmp_path, 7, 1, (30, 10, 5, 5))
    process(tmp_path, 8, 7, (20, 0, 0, 0))
    process(tmp_path, 9, 8, (10, 0, 0, 0))
    process(tmp_path, 12, 1, (200, 0, 0, 0))
    return SystemTree(tmp_path)


def test_others_are_what_is_busy_without_the_process_and_its_descendants(tree: SystemTree) -> None:
    read = LinuxLoad(7, tree).read()
    assert read[TIME] == pytest.approx((1000 + 10 + 20 + 9000 + 5 + 1 + 2 + 50) / 100)
    assert read[OTHER] == pytest.approx((1000 + 10 + 20 + 1 + 2 - (50 + 20 + 10)) / 100)
    assert read[STEAL] == 0.5


def test_shares_between_two_looks(tmp_path: Path, tree: SystemTree) -> None:
    load = LinuxLoad(7, tree)
    first = load.read()
    # 1000 ticks pass: we use 300 of them, others 200, another machine 100.
    machine(tmp_path, user=1500, idle=9400, steal=150)
    process(tmp_path, 7, 1, (330, 10, 5, 5))
    assert shares(first, load.read()) == {OTHER: pytest.approx(0.2), STEAL: pytest.approx(0.1)}
    assert shares(first, first) == {}


def test_a_child_that_starts_and_ends_stays_our_own(tmp_path: Path, tree: SystemTree) -> None:
    load = LinuxLoad(7, tree)
    before = load.read()[OTHER]
    process(tmp_path, 20, 9, (40, 0, 0, 0))
    machine(tmp_path, user=1040, idle=9000, steal=50)
    assert load.read()[OTHER] == pytest.approx(before)
    shutil.rmtree(tmp_path / "proc/20")
    process(tmp_path, 9, 8, (10, 0, 40, 0))  # its parent waited for it
    assert load.read()[OTHER] == pytest.approx(before)


def test_an_orphan_stays_our_own(tmp_path: Path, tree: SystemTree) -> None:
    load = LinuxLoad(7, tree)
    load.read()
    process(tmp_path, 7, 1, (30, 10, 25, 5))  # waited for 8
    shutil.rmtree(tmp_path / "proc/8")
    process(tmp_path, 9, 1, (110, 0, 0, 0))
    machine(tmp_path, user=1100, idle=9000, steal=50)
    assert load.read()[OTHER] == pytest.approx((1100 + 33 - (70 + 110)) / 100)


def test_a_step_back_is_shown_as_standing_still(tmp_path: Path, tree: SystemTree) -> None:
    load = LinuxLoad(7, tree)
    before = load.read()[OTHER]
    process(tmp_path, 7, 1, (90, 10, 5, 5))  # counted exactly, the machine by ticks
    assert load.read()[OTHER] == before


def test_meters_are_counters_and_say_when_the_process_ended(
    tmp_path: Path, tree: SystemTree
) -> None:
    found = discover_load(7, tree)
    assert [meter.info.source for meter in found.meters] == [TIME, OTHER, STEAL]
    assert {meter.info.kind for meter in found.meters} == {SampleKind.COUNTER}
    assert found.meters[0].min_interval_s >= 1
    shutil.rmtree(tmp_path / "proc/7")
    for meter in found.meters:
        with pytest.raises(MeterError, match="process 7 has ended"):
            meter.read()


@pytest.mark.parametrize(
    "text", ["", "cpu", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h"]
)
def test_nonsense_is_no_value(tmp_path: Path, tree: SystemTree, text: str) -> None:
    write(tmp_path / "proc/stat", text)
    found = discover_load(7, tree)
    assert found.meters == ()
    assert {source.state for source in found.sources} == {SourceState.UNSUPPORTED}


def test_processes_that_cannot_be_read_do_not_count_as_ours(
    tmp_path: Path, tree: SystemTree
) -> None:
    write(tmp_path / "proc/8/stat", "8 (x) S what")
    read = LinuxLoad(7, tree).read()
    # 9 hangs below 8, whose parent is unknown.
    assert read[OTHER] == pytest.approx((1033 - 50) / 100)


def wait_for(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.05)
    return False


@linux_only
def test_a_busy_child_is_our_own_load_and_a_stranger_to_its_brother() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", BUSY]) as busy,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as idle,
    ):
        try:
            ours, others = LinuxLoad(busy.pid, SystemTree()), LinuxLoad(idle.pid, SystemTree())
            first, first_other = ours.read(), others.read()
            used = psutil.Process(busy.pid)
            start = used.cpu_times().user

            def has_worked() -> bool:
                return used.cpu_times().user - start > 0.5

            assert wait_for(has_worked)
            mine = ours.read()[OTHER] - first[OTHER]
            strange = others.read()[OTHER] - first_other[OTHER]
            assert strange - mine > 0.3
        finally:
            busy.kill()
            idle.kill()


def test_elsewhere_psutil_tells_and_descendants_that_ended_stay_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = SimpleNamespace(user=100.0, system=50.0, idle=850.0)
    child = SimpleNamespace(
        pid=8, create_time=lambda: 1.0, cpu_times=lambda: SimpleNamespace(user=6.0, system=4.0)
    )
    children = [child]
    root = SimpleNamespace(
        pid=7,
        create_time=lambda: 0.0,
        cpu_times=lambda: SimpleNamespace(user=20.0, system=0.0),
        children=lambda recursive: list(children),
    )
    monkeypatch.setattr(psutil, "cpu_times", lambda: whole)
    monkeypatch.setattr(psutil, "Process", lambda pid: root)
    load = PortableLoad(7)
    assert load.read() == {TIME: 1000.0, OTHER: 120.0}
    children.clear()
    whole.user += 5
    assert load.read()[OTHER] == 125.0


def test_elsewhere_steal_is_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    found = discover_load(psutil.Process().pid, SystemTree(tmp_path))
    states = {source.source: source.state for source in found.sources}
    assert states == {
        TIME: SourceState.OK,
        OTHER: SourceState.OK,
        STEAL: SourceState.UNSUPPORTED,
    }
