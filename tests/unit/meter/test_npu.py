"""NPUs: Intel's busy time, and AMD's power out of a binary structure. Trees are synthetic."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
from sensor_trees import overlay, write

from edgeagent.meter.npu import discover_npu, npu_power_w
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import SystemTree
from edgeagent.record.samples import SampleKind, Scope, SourceState

BUSY = "sys/class/accel/accel0/device/npu_busy_time_us"


def gpu_metrics(power_mw: int, *, size: int = 264, version: tuple[int, int] = (3, 0)) -> bytes:
    """Build the structure as the driver does: all ones, then what the firmware told."""
    data = bytearray(b"\xff" * size)
    struct.pack_into("<HBB", data, 0, size, *version)
    struct.pack_into("<I", data, 112, 21_000)  # power of the socket, just before it
    struct.pack_into("<H", data, 116, power_mw)
    struct.pack_into("<I", data, 120, 19_000)  # power of the APU, behind it and its padding
    return bytes(data)


def amd(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "sys/class/drm/card1/device/gpu_metrics"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_intel_tells_busy_time_and_no_energy(tmp_path: Path) -> None:
    write(tmp_path / BUSY, "1234567")
    (meter,) = discover_npu(SystemTree(tmp_path)).meters
    assert meter.read().value == pytest.approx(1.234567)
    info = meter.info
    assert (info.source, info.quantity, info.kind) == ("npu:busy", "busy_s", SampleKind.COUNTER)
    assert (info.scope, info.total) == (Scope.RAIL, None)
    assert meter.min_interval_s == 1.0


def test_an_npu_that_is_unplugged_or_asleep(tmp_path: Path) -> None:
    write(tmp_path / BUSY, "5")
    failures: dict[str, int] = {}
    (meter,) = discover_npu(SystemTree(tmp_path, overlay(failures))).meters
    for number, state in ((errno.ENODEV, SourceState.ABSENT), (errno.EAGAIN, SourceState.STALE)):
        failures["npu_busy_time_us"] = number
        with pytest.raises(MeterError) as caught:
            meter.read()
        assert caught.value.state is state
    failures.clear()
    write(tmp_path / BUSY, "-1")
    with pytest.raises(MeterError, match="negative"):
        meter.read()


def test_two_npus_have_names_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / BUSY, "5")
    write(tmp_path / BUSY.replace("accel0", "accel1"), "6")
    names = [meter.info.source for meter in discover_npu(SystemTree(tmp_path)).meters]
    assert names == ["npu:busy-0", "npu:busy-1"]


def test_amd_tells_power_that_stands_alone(tmp_path: Path) -> None:
    path = amd(tmp_path, gpu_metrics(1875))
    (meter,) = discover_npu(SystemTree(tmp_path)).meters
    assert meter.read().value == pytest.approx(1.875)
    assert (meter.info.quantity, meter.info.total) == ("power_w", None)
    path.write_bytes(gpu_metrics(0))
    assert meter.read().value == 0.0  # an idle NPU that is switched off
    path.write_bytes(gpu_metrics(0xFFFF))
    with pytest.raises(MeterError):
        meter.read()
    path.write_bytes(gpu_metrics(1000)[:100])
    with pytest.raises(MeterError, match="100"):
        meter.read()
    path.unlink()
    with pytest.raises(MeterError) as caught:
        meter.read()
    assert caught.value.state is SourceState.ABSENT


def test_firmware_without_an_npu_is_explained(tmp_path: Path) -> None:
    amd(tmp_path, gpu_metrics(0xFFFF))
    (source,) = discover_npu(SystemTree(tmp_path)).sources
    assert source.state is SourceState.UNSUPPORTED
    assert "no power of the NPU" in source.reason


def test_an_unknown_size_of_version_3_is_refused(tmp_path: Path) -> None:
    amd(tmp_path, gpu_metrics(1000, size=256))
    (source,) = discover_npu(SystemTree(tmp_path)).sources
    assert source.state is SourceState.UNSUPPORTED
    assert "256 bytes" in source.reason


@pytest.mark.parametrize("data", [b"", b"\x08", gpu_metrics(7, version=(2, 4)), b"\x00" * 264])
def test_other_structures_are_no_npu(tmp_path: Path, data: bytes) -> None:
    amd(tmp_path, data)
    assert discover_npu(SystemTree(tmp_path)) == Discovery((), ())
    with pytest.raises(ValueError, match="gpu_metrics"):
        npu_power_w(data)


def test_a_structure_that_may_not_be_read_is_no_npu(tmp_path: Path) -> None:
    amd(tmp_path, gpu_metrics(1))

    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    assert discover_npu(SystemTree(tmp_path), refuse) == Discovery((), ())
