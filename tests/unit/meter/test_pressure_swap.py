"""Stall times, swapped pages and compressed swap."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from host_trees import files
from sensor_trees import overlay, write

from edgeagent.meter.host.pressure import discover_pressure
from edgeagent.meter.memory.swap import discover_swap, zram_bytes
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SampleKind, SourceState

PSI = (
    "some avg10=1.53 avg60=0.87 avg300=0.23 total={total}\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=999"
)


def values(found: Discovery) -> dict[str, float]:
    return {meter.info.source: meter.read().value for meter in found.meters}


def test_stall_times_of_some_task(tmp_path: Path) -> None:
    tree = files(
        tmp_path,
        {
            "proc/pressure/cpu": PSI.format(total=2_500_000),
            "proc/pressure/memory": PSI.format(total=0),
            "proc/pressure/io": "full avg10=0.00 total=7",
        },
    )
    found = discover_pressure(tree)
    assert values(found) == {"pressure:cpu": 2.5, "pressure:memory": 0.0}
    assert {meter.info.kind for meter in found.meters} == {SampleKind.COUNTER}
    states = {source.source: source.state for source in found.sources}
    assert states["pressure:io"] is SourceState.UNSUPPORTED


def test_a_kernel_without_or_with_stall_times_switched_off(tmp_path: Path) -> None:
    absent = discover_pressure(files(tmp_path, {}))
    assert {source.state for source in absent.sources} == {SourceState.ABSENT}
    texts = {f"proc/pressure/{name}": PSI for name in ("cpu", "memory", "io")}
    off = discover_pressure(files(tmp_path, texts, overlay({"": errno.EOPNOTSUPP})))
    assert {source.state for source in off.sources} == {SourceState.UNSUPPORTED}


def test_swapped_pages_and_what_compressed_swap_takes(tmp_path: Path) -> None:
    tree = files(
        tmp_path,
        {
            "proc/vmstat": "nr_free_pages 5\npswpin 3\npswpout 10\npswpin_other 99",
            "sys/block/zram0/mm_stat": "  8192000  1234000  2048000 0 2048000 10 0 0 0",
            "sys/block/zram1/mm_stat": "0 0 4096 0 4096 0 0 0 0",
            "sys/block/sda/size": "1",
        },
    )
    assert values(discover_swap(tree, page_bytes=16384)) == {
        "system:swapped_in": 3 * 16384,
        "system:swapped_out": 10 * 16384,
        "system:zram": 2048000 + 4096,
    }
    assert zram_bytes(tree) == 2048000 + 4096


def test_without_zram_it_is_absent_and_takes_nothing(tmp_path: Path) -> None:
    tree = files(tmp_path, {"proc/vmstat": "pswpin 0"})
    states = {source.source: source.state for source in discover_swap(tree).sources}
    assert states == {
        "system:swapped_in": SourceState.OK,
        "system:swapped_out": SourceState.UNSUPPORTED,
        "system:zram": SourceState.ABSENT,
    }
    assert zram_bytes(tree) == 0


@pytest.mark.parametrize("text", ["", "1 2", "1 2 x"])
def test_a_damaged_zram_is_unknown_and_not_zero(tmp_path: Path, text: str) -> None:
    tree = files(tmp_path, {"sys/block/zram0/mm_stat": "1 2 3"})
    meters = {meter.info.source: meter for meter in discover_swap(tree).meters}
    write(tmp_path / "sys/block/zram0/mm_stat", text)
    assert zram_bytes(tree) is None
    with pytest.raises(MeterError):
        meters["system:zram"].read()


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_only_linux_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert discover_pressure(SystemTree(tmp_path)).sources == ()
    assert discover_swap(SystemTree(tmp_path)).sources == ()
