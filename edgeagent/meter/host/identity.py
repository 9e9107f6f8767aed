"""What this machine says about itself: the facts that device profiles are matched by."""

from __future__ import annotations

import contextlib
import platform
import sys

from edgeagent.config.devices import DeviceFacts
from edgeagent.meter.host.facts import cpu_name
from edgeagent.meter.tree import THIS_MACHINE, SystemTree


def device_facts(tree: SystemTree = THIS_MACHINE, architecture: str | None = None) -> DeviceFacts:
    """Gather what names the machine; nothing here raises, and what is not told is empty.

    Sources: `/proc/device-tree/{compatible,model}`, which lead to
    `/sys/firmware/devicetree/base/` (Linux on Arm), `/sys/class/dmi/id/{sys_vendor,product_name}`
    (Linux with UEFI or BIOS), the registry (Windows), and the processor's name.

    Args:
        tree: Where the system's files are.
        architecture: Of the machine that `tree` is from; default: of this one.
    """
    return DeviceFacts(
        compatible=_device_tree(tree, "compatible"),
        board=" ".join(_device_tree(tree, "model")),
        product=_product(tree),
        cpu=cpu_name(tree),
        architecture=platform.machine() if architecture is None else architecture,
    )


def _device_tree(tree: SystemTree, name: str) -> tuple[str, ...]:
    """Return the strings of a property at the root, each of which ends with a zero byte."""
    for root in (tree.proc / "device-tree", tree.sys / "firmware" / "devicetree" / "base"):
        parts = (part.strip() for part in (tree.text(root / name) or "").split("\0"))
        if found := tuple(part for part in parts if part):
            return found
    return ()


def _product(tree: SystemTree) -> str:
    dmi = tree.sys / "class" / "dmi" / "id"
    names = [tree.text(dmi / name) for name in ("sys_vendor", "product_name")]
    return " ".join(name for name in names if name) or _product_windows()


def _product_windows() -> str:
    if sys.platform == "win32":
        import winreg

        key = r"HARDWARE\DESCRIPTION\System\BIOS"
        with (
            contextlib.suppress(OSError),
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as handle,
        ):
            names = ("SystemManufacturer", "SystemProductName")
            values = [str(winreg.QueryValueEx(handle, name)[0]).strip() for name in names]
            return " ".join(value for value in values if value)
    return ""
