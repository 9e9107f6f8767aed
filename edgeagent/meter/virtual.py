"""Whether this is a virtual machine, as far as the guest can tell."""

from __future__ import annotations

from pathlib import Path

from edgeagent.meter.sysfs import Reader, read_or_none, read_text

_HYPERVISOR_NAMES = (
    "amazon ec2",
    "apple virtualization",
    "bochs",
    "google compute engine",
    "kvm",
    "openstack",
    "parallels",
    "qemu",
    "virtual machine",
    "virtualbox",
    "vmware",
    "xen",
)
"""Parts of the firmware's vendor and product names (DMI) that hypervisors give, in lower case."""


def virtual_machine(
    root: Path = Path("/sys"), proc: Path = Path("/proc"), read: Reader = read_text
) -> bool | None:
    """Tell whether the kernel runs below a hypervisor, `None` where nothing says so or denies it.

    Sources: the CPUID bit that Linux lists as `hypervisor` among an x86 processor's flags,
    `/sys/hypervisor/type` (Xen) and the firmware's names in `/sys/class/dmi/id`.
    """
    flags = cpu_flags(proc, read)
    if "hypervisor" in flags or read_or_none(root / "hypervisor" / "type", read):
        return True
    dmi = root / "class" / "dmi" / "id"
    texts = [read_or_none(dmi / name, read) for name in ("sys_vendor", "product_name")]
    names = " ".join(text.lower() for text in texts if text)
    if any(name in names for name in _HYPERVISOR_NAMES):
        return True
    return False if flags or names else None


def cpu_flags(proc: Path = Path("/proc"), read: Reader = read_text) -> frozenset[str]:
    """Return the features of the first processor as Linux names them, empty elsewhere.

    x86 lists them as `flags`, Arm as `Features`.
    """
    for line in (read_or_none(proc / "cpuinfo", read) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()
