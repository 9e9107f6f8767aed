"""Neural processing units: how long Intel's was busy, and what AMD's draws.

- Intel (driver `intel_vpu`): `/sys/class/accel/accel*/device/npu_busy_time_us`, the time that the
  device spent with jobs (Linux `drivers/accel/ivpu/ivpu_sysfs.c`). There is no energy counter of
  its own: what the NPU uses is inside the energy of the processor package.
- AMD Ryzen AI: the driver of the GPU tells the NPU's power in `gpu_metrics` version 3.0
  (`struct gpu_metrics_v3_0` in `drivers/gpu/drm/amd/include/kgd_pp_interface.h`). It is filtered
  over time by the firmware and also inside the package, so it stands alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from edgeagent.meter.energy.reading import offer
from edgeagent.meter.host.attributes import number
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, matching, present
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

ReadBytes: TypeAlias = Callable[[Path], bytes]
"""Returns the content of a binary file; raises `OSError`."""

_HEADER = struct.Struct("<HBB")
"""`struct metrics_table_header`: size of the structure, format revision, content revision."""

_VERSION = (3, 0)
_SIZE = 264
_NPU_POWER = struct.Struct("<H")
_NPU_POWER_OFFSET = 116
"""Offset of `average_ipu_power` in mW. Before it: header 4, temperatures 38, activities 52,
bandwidths 8, padding to a multiple of eight 2, timestamp 8, socket power 4."""

_ABSENT = 0xFFFF
"""The driver fills the structure with ones before it puts in what the firmware told."""


def discover_npu(
    tree: SystemTree = THIS_MACHINE, read_bytes: ReadBytes = Path.read_bytes
) -> Discovery:
    """Find what NPUs tell about themselves and probe each value.

    Args:
        tree: The system's files.
        read_bytes: How a binary file is read.
    """
    return Discovery.union((_intel(tree), _amd(tree, read_bytes)))


def _intel(tree: SystemTree) -> Discovery:
    paths = [
        path
        for device in matching(tree.sys / "class" / "accel", "accel*")
        if present(path := device / "device" / "npu_busy_time_us")
    ]
    return Discovery.union(
        offer(
            SourceInfo(
                source=f"npu:busy{_suffix(index, paths)}",
                quantity="busy_s",
                kind=SampleKind.COUNTER,
                scope=Scope.RAIL,
                resolution=1e-6,
            ),
            partial(_busy_s, tree, path),
            min_interval_s=1.0,
        )
        for index, path in enumerate(paths)
    )


def _busy_s(tree: SystemTree, path: Path) -> float:
    """Read how long the NPU was busy since its driver was loaded."""
    busy_us = number(tree, path)
    if busy_us < 0:
        raise ValueError(f"{path} holds a negative number")
    return busy_us * 1e-6


def _amd(tree: SystemTree, read_bytes: ReadBytes) -> Discovery:
    paths = []
    for card in matching(tree.sys / "class" / "drm", "card*"):
        path = card / "device" / "gpu_metrics"
        if not present(path):
            continue
        try:
            header = read_bytes(path)[: _HEADER.size]
        except OSError:
            continue  # without its header nobody knows whether it would tell of an NPU
        if len(header) == _HEADER.size and _HEADER.unpack(header)[1:] == _VERSION:
            paths.append(path)
    return Discovery.union(
        offer(
            SourceInfo(
                source=f"npu:power{_suffix(index, paths)}",
                quantity="power_w",
                kind=SampleKind.SAMPLED,
                scope=Scope.RAIL,
                resolution=1e-3,
                interval_s=0.1,
                max_power_w=100.0,
            ),
            partial(_read_power_w, read_bytes, path),
            min_interval_s=0.1,
            remedies={SourceState.UNSUPPORTED: "A newer kernel may know this firmware."},
        )
        for index, path in enumerate(paths)
    )


def _read_power_w(read_bytes: ReadBytes, path: Path) -> float:
    return npu_power_w(read_bytes(path))


def npu_power_w(metrics: bytes) -> float:
    """Return the power of the NPU that `gpu_metrics` tells, in watts.

    Raises:
        ValueError: It is not a complete structure of version 3.0.
        MeterError: The firmware tells no power of an NPU.
    """
    if len(metrics) < _HEADER.size:
        raise ValueError("gpu_metrics is empty")
    size, *version = _HEADER.unpack_from(metrics)
    if tuple(version) != _VERSION or size != _SIZE or len(metrics) < _SIZE:
        raise ValueError(
            f"gpu_metrics is of version {version[0]}.{version[1]} with {size} bytes, of which "
            f"{len(metrics)} came; known is 3.0 with {_SIZE}"
        )
    (power_mw,) = _NPU_POWER.unpack_from(metrics, _NPU_POWER_OFFSET)
    if power_mw == _ABSENT:
        raise MeterError("The firmware tells no power of the NPU.", SourceState.UNSUPPORTED)
    return float(power_mw * 1e-3)


def _suffix(index: int, paths: list[Path]) -> str:
    """Number devices where there are several."""
    return f"-{index}" if len(paths) > 1 else ""
