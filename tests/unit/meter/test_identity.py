"""What a machine says about itself, from trees of several machines (synthetic)."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sensor_trees import INTEL_CPUINFO, write

from edgeagent.config.devices import match_device
from edgeagent.meter.host.identity import device_facts
from edgeagent.meter.tree import SystemTree


@pytest.mark.parametrize("place", ["proc/device-tree", "sys/firmware/devicetree/base"])
def test_a_board_with_a_device_tree(tmp_path: Path, place: str) -> None:
    tree = tmp_path / place
    tree.mkdir(parents=True)
    entries = b"nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0"
    (tree / "compatible").write_bytes(entries)
    (tree / "model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    facts = device_facts(SystemTree(tmp_path), "aarch64")
    assert facts.compatible == (
        "nvidia,p3768-0000+p3767-0005",
        "nvidia,p3767-0005",
        "nvidia,tegra234",
    )
    assert facts.board == "NVIDIA Jetson Orin Nano Developer Kit"
    assert facts.architecture == "aarch64"
    found = match_device(facts)
    assert found is not None
    assert found.name == "NVIDIA Jetson Orin Nano 8GB"


def test_a_machine_with_dmi(tmp_path: Path) -> None:
    write(tmp_path / "sys/class/dmi/id/sys_vendor", "LENOVO")
    write(tmp_path / "sys/class/dmi/id/product_name", "21KC")
    write(tmp_path / "proc/cpuinfo", INTEL_CPUINFO)
    facts = device_facts(SystemTree(tmp_path), "x86_64")
    assert (facts.compatible, facts.board) == ((), "")
    assert facts.product == "LENOVO 21KC"
    assert facts.cpu == "Intel(R) Core(TM) i7"


def test_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    facts = device_facts(SystemTree(tmp_path, refuse))
    assert (facts.compatible, facts.board) == ((), "")
    assert facts.architecture == platform.machine()


def test_windows_tells_the_product_in_its_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "SystemManufacturer": "Microsoft Corporation",
        "SystemProductName": "Surface Laptop",
        "ProcessorNameString": "Snapdragon(R) X Elite - X1E80100 - Qualcomm(R) Oryon(TM) CPU ",
    }

    @contextlib.contextmanager
    def open_key(root: object, key: str) -> Iterator[str]:
        yield key

    registry = SimpleNamespace(
        HKEY_LOCAL_MACHINE=object(),
        OpenKey=open_key,
        QueryValueEx=lambda handle, name: (values[name], 1),
    )
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    facts = device_facts(SystemTree(tmp_path), "ARM64")
    assert facts.product == "Microsoft Corporation Surface Laptop"
    found = match_device(facts)
    assert found is not None
    assert found.name == "Qualcomm Snapdragon X Elite"
