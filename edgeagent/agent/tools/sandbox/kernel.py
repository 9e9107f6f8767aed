"""Calls to Linux that Python's library does not have.

Constants are those of `linux/prctl.h`, `linux/capability.h`, `linux/sched.h`, `linux/mount.h`.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from functools import cache

from edgeagent.agent.tools.sandbox.seccomp import Instruction
from edgeagent.agent.tools.sandbox.syscalls import number

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_CAPABILITY_VERSION_3 = 0x20080522
_MNT_DETACH = 2


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call.

    Raises:
        OSError: It failed.
    """
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_libc().syscall(ctypes.c_long(number), *converted))


def prctl(option: int, value: int) -> None:
    """Set an attribute of the process.

    Raises:
        OSError: The kernel does not know it or does not allow it.
    """
    zero = ctypes.c_ulong(0)
    _checked(_libc().prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero))


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this signal when the parent ends."""
    prctl(_PR_SET_PDEATHSIG, signal_number)


def set_dumpable(dumpable: bool) -> None:
    """Say whether the process belongs to its user: may be traced, and owns its files in /proc."""
    prctl(_PR_SET_DUMPABLE, int(dumpable))


def set_no_new_privileges() -> None:
    """Make programs that are started unable to gain privileges; needed for all that follows."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every privilege of an administrator."""
    machine = os.uname().machine
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0))
    data = ctypes.create_string_buffer(24)  # two words each: effective, permitted, inheritable
    system_call(number("capset", machine) or 0, header, data)


def unshare(flags: int) -> None:
    """Move this process into new namespaces.

    Raises:
        OSError: They do not exist or are forbidden here.
    """
    _checked(_libc().unshare(ctypes.c_int(flags)))


def mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    """Mount, bind or remount.

    Raises:
        OSError: It failed.
    """
    text = [None if part is None else os.fsencode(part) for part in (source, target, kind, data)]
    _checked(_libc().mount(*text[:3], ctypes.c_ulong(flags), text[3]))


def change_root(folder: str) -> None:
    """Make a mount the root of this process's mount namespace, and let go of the old one."""
    os.chdir(folder)
    here = ctypes.create_string_buffer(b".")
    # New and old root may be the same folder: the old one is then stacked on top (pivot_root(2)).
    system_call(number("pivot_root", os.uname().machine) or 0, here, here)
    _checked(_libc().umount2(here, ctypes.c_int(_MNT_DETACH)))
    os.chdir("/")


def install_filter(program: Sequence[Instruction]) -> None:
    """Have the kernel check every system call from now on, by a program of `seccomp`.

    Raises:
        OSError: The kernel has no seccomp filters.
    """
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    instructions = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog {unsigned short len; struct sock_filter *filter;}
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(instructions))
    system_call(
        number("seccomp", os.uname().machine) or 0,
        _SECCOMP_SET_MODE_FILTER,
        0,
        ctypes.create_string_buffer(header, len(header)),
    )


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
