"""Whether this is a virtual machine, as far as the guest can tell."""

from __future__ import annotations

from edgeagent.meter.tree import THIS_MACHINE, SystemTree

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


def virtual_machine(tree: SystemTree = THIS_MACHINE) -> bool | None:
    """Tell whether the kernel runs below a hypervisor, `None` where nothing says so or denies it.

    Sources: the CPUID bit that Linux lists as `hypervisor` among an x86 processor's flags,
    `/sys/hypervisor/type` (Xen) and the firmware's names in `/sys/class/dmi/id`.
    """
    flags = cpu_flags(tree)
    if "hypervisor" in flags or tree.text(tree.sys / "hypervisor" / "type"):
        return True
    dmi = tree.sys / "class" / "dmi" / "id"
    texts = [tree.text(dmi / name) for name in ("sys_vendor", "product_name")]
    names = " ".join(text.lower() for text in texts if text)
    if any(name in names for name in _HYPERVISOR_NAMES):
        return True
    return False if flags or names else None


def cpu_flags(tree: SystemTree = THIS_MACHINE) -> frozenset[str]:
    """Return the features of the first processor as Linux names them, empty elsewhere.

    x86 lists them as `flags`, Arm as `Features`.
    """
    for line in (tree.text(tree.proc / "cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()
