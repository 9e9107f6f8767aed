"""Opening a counter of one processor by `perf_event_open`, which the C library has no function for.

Sources: the manual page perf_event_open(2); Linux `include/uapi/linux/perf_event.h` for the struct
and `arch/*/entry/syscalls/*.tbl` for the numbers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
import weakref
from collections.abc import Callable

_NUMBERS = {"x86_64": 298, "i386": 336, "aarch64": 241, "riscv64": 241, "arm": 364}
"""Number of the system call by architecture of this process."""

_ATTR = struct.Struct("=IIQQQQQIIQ")
"""`struct perf_event_attr` in its first published size (PERF_ATTR_SIZE_VER0, 64 bytes): type, size,
config, period, sample type, read format, flags, wake-up, breakpoint type, config1."""

_FLAG_FD_CLOEXEC = 8
_EVERY_PROCESS = -1
_NO_GROUP = -1

Syscall = Callable[[int, bytes, int], int]
"""Makes the system call of this number with attributes and processor, for every process and outside
of any group; returns a descriptor, raises `OSError`."""


class EventCounter:
    """A counter that the kernel keeps in 64 bits from its opening on; closed with its last user."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor."""
        self._descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)

    def read(self) -> int:
        """Return the count; raises `OSError`, or `ValueError` if the answer is too short.

        An event that could not be scheduled, such as after its processor went offline, ends here:
        the kernel answers with no bytes.
        """
        data = os.read(self._descriptor, 8)
        if len(data) != 8:
            raise ValueError("the counter is switched off")
        return int.from_bytes(data, sys.byteorder)


def open_cpu_event(pmu: int, config: int, cpu: int, syscall: Syscall | None = None) -> EventCounter:
    """Start to count an event on one processor, for whatever runs there.

    Args:
        pmu: Number of the performance monitoring unit, `type` in its folder.
        config: Which of its events.
        cpu: Number of the processor.
        syscall: How to call the kernel; default: through the C library.

    Raises:
        OSError: The kernel refuses: EACCES or EPERM without the right to watch other processes.
    """
    number = _NUMBERS.get(architecture())
    if number is None:
        raise OSError(errno.ENOSYS, "perf_event_open has no known number on this architecture")
    attr = _ATTR.pack(pmu, _ATTR.size, config, 0, 0, 0, 0, 0, 0, 0)
    call = _call_kernel if syscall is None else syscall
    return EventCounter(call(number, attr, cpu))


def architecture() -> str:
    """Return the architecture of this process, which may be narrower than that of the kernel."""
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    is_wide = ctypes.sizeof(ctypes.c_void_p) == 8
    if machine in {"x86_64", "i486", "i586", "i686"}:
        return "x86_64" if is_wide and machine == "x86_64" else "i386"
    if machine == "aarch64" and not is_wide:
        return "arm"
    return "arm" if machine.startswith("armv") else machine


def _call_kernel(number: int, attr: bytes, cpu: int) -> int:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "perf_event_open exists on Linux only")
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    descriptor = library.syscall(
        ctypes.c_long(number),
        ctypes.create_string_buffer(attr, len(attr)),
        ctypes.c_int(_EVERY_PROCESS),
        ctypes.c_int(cpu),
        ctypes.c_int(_NO_GROUP),
        ctypes.c_ulong(_FLAG_FD_CLOEXEC),
    )
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(descriptor)
