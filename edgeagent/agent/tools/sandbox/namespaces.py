"""Namespaces: a machine of its own, with a network that leads nowhere and hardly any files.

Where users may make namespaces. Some systems forbid it (Ubuntu since 23.10, many containers).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from edgeagent.agent.tools.sandbox.kernel import change_root, mount, unshare

_NEW_MOUNTS = 0x00020000
_NEW_CGROUP = 0x02000000
_NEW_UTS = 0x04000000
_NEW_IPC = 0x08000000
_NEW_USER = 0x10000000
_NEW_PID = 0x20000000
_NEW_NET = 0x40000000
_ALL = _NEW_MOUNTS | _NEW_CGROUP | _NEW_UTS | _NEW_IPC | _NEW_USER | _NEW_PID | _NEW_NET

_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_EXECUTION = 1, 2, 4, 8
_REMOUNT, _BIND = 1 << 5, 1 << 12
_RECURSIVE, _PRIVATE = 1 << 14, 1 << 18
_KEPT = {2: 2, 4: 4, 8: 8, 1024: 1 << 10, 2048: 1 << 11, 4096: 1 << 21}
"""Flags of `statvfs` and of `mount` that a user namespace must not take away."""

SCRATCH = "/scratch"
"""Where the scratch folder is in there."""

_NOBODY = 65534


def enter_namespaces() -> None:
    """Become nobody on an empty network; the next child is the first of its processes.

    Raises:
        OSError: Users must not do this here.
    """
    user, group = os.geteuid(), os.getegid()
    unshare(_ALL)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{_NOBODY} {user} 1")
    _write("/proc/self/gid_map", f"{_NOBODY} {group} 1")


def enter_small_root(
    root: str, readable: Iterable[str], hidden: Iterable[str], size_bytes: int, files: int
) -> None:
    """See nothing but these folders, read-only, and a scratch folder that exists in memory only.

    Args:
        root: An empty folder.
        readable: Folders, at the same paths as outside.
        hidden: Folders within them that are seen empty.
        size_bytes: Of everything in the scratch folder.
        files: Number of files and folders there.

    Raises:
        OSError: A mount failed.
    """
    flags = _NO_SETUID | _NO_DEVICES
    mount(None, "/", None, _RECURSIVE | _PRIVATE)
    mount("tmpfs", root, "tmpfs", flags | _NO_EXECUTION, "size=256k,mode=755")
    for folder in readable:
        target = root + folder
        os.makedirs(target)  # noqa: PTH103 - pathlib is not loaded in this process
        mount(folder, target, None, _BIND)
        kept = sum(new for old, new in _KEPT.items() if os.statvfs(target).f_flag & old)
        mount(None, target, None, _REMOUNT | _BIND | _READ_ONLY | flags | kept)
    for folder in hidden:
        mount("tmpfs", root + folder, "tmpfs", flags | _READ_ONLY | _NO_EXECUTION, "size=4k")
    os.mkdir(root + SCRATCH)  # noqa: PTH102
    options = f"size={size_bytes},nr_inodes={files + 1},mode=700"
    mount("tmpfs", root + SCRATCH, "tmpfs", flags | _NO_EXECUTION, options)
    change_root(root)
    mount(None, "/", None, _REMOUNT | _BIND | _READ_ONLY | _NO_EXECUTION | flags)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
