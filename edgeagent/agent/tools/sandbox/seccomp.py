"""The filter of system calls: a program of the classic Berkeley packet filter, made here.

The kernel runs it at every call on `struct seccomp_data {int nr; u32 arch; u64 ip; u64 args[6];}`
(`linux/seccomp.h`); its verdict cannot be undone, and holds for whatever the process becomes.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from edgeagent.agent.tools.sandbox.syscalls import (
    ALLOWED,
    AUDIT_ARCH,
    REFUSED,
    X32_BIT,
    X86_64,
    number,
)

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

# Instructions (`linux/bpf_common.h`): load a word, compare, mask, return.
_LOAD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_ABOVE_EQUAL = 0x35
_AND = 0x54
_RETURN = 0x06

_NR_OFFSET, _ARCH_OFFSET, _ARGS_OFFSET = 0, 4, 16

_O_ACCMODE, _O_TRUNC = 0o3, 0o1000

_F_COMMANDS = {
    0: "F_DUPFD",
    1: "F_GETFD",
    2: "F_SETFD",
    3: "F_GETFL",
    4: "F_SETFL",
    5: "F_GETLK",
    6: "F_SETLK",
    7: "F_SETLKW",
    1030: "F_DUPFD_CLOEXEC",
}
"""No F_SETOWN: it has the kernel signal any process of the same user."""

_IOCTLS = {
    0x5401: "TCGETS",
    0x5413: "TIOCGWINSZ",
    0x541B: "FIONREAD",
    0x5450: "FIONCLEX",
    0x5451: "FIOCLEX",
}
"""No TIOCSTI: it types into the user's terminal."""


class Instruction(NamedTuple):
    """`struct sock_filter`: jumps count instructions from the next one."""

    code: int
    jump_true: int
    jump_false: int
    value: int


def refuse(number: int) -> int:
    """Return the verdict that makes a call fail with this error number."""
    return _ERRNO | number


def build_filter(machine: str, pid: int) -> tuple[Instruction, ...]:
    """Return the program for an architecture and the process that will run under it.

    Args:
        machine: As `os.uname().machine` says it.
        pid: The process as it sees itself; it may signal nobody else.

    Raises:
        KeyError: The architecture has no table.
    """
    program = [
        Instruction(_LOAD, 0, 0, _ARCH_OFFSET),
        Instruction(_JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        Instruction(_RETURN, 0, 0, KILL_PROCESS),
        Instruction(_LOAD, 0, 0, _NR_OFFSET),
    ]
    if machine == X86_64:
        program += [
            Instruction(_JUMP_ABOVE_EQUAL, 0, 1, X32_BIT),
            Instruction(_RETURN, 0, 0, KILL_PROCESS),
        ]
    for name in ALLOWED:
        program += _on(machine, name, [Instruction(_RETURN, 0, 0, ALLOW)])
    for name in ("open", "openat"):
        program += _on(machine, name, _no_truncating_reader(1 if name == "open" else 2))
    program += _on(machine, "fcntl", _argument_in(1, tuple(_F_COMMANDS)))
    program += _on(machine, "ioctl", _argument_in(1, tuple(_IOCTLS)))
    for name in ("kill", "tgkill"):
        program += _on(machine, name, _argument_in(0, (pid,)))
    for name in ("prlimit64", "sched_getaffinity"):
        program += _on(machine, name, _argument_in(0, (0, pid)))
    for name in REFUSED:
        program += _on(machine, name, [Instruction(_RETURN, 0, 0, refuse(errno.EPERM))])
    program.append(Instruction(_RETURN, 0, 0, refuse(errno.ENOSYS)))
    return tuple(program)


def _on(machine: str, name: str, block: list[Instruction]) -> list[Instruction]:
    """Return what is done at one call; nothing if the architecture does not have it.

    A block ends with a verdict on every way, so the call's number stays loaded for the next test.
    """
    value = number(name, machine)
    if value is None:
        return []
    return [Instruction(_JUMP_EQUAL, 0, len(block), value), *block]


def _argument_in(index: int, values: tuple[int, ...]) -> list[Instruction]:
    """Allow values of an `int` argument; the kernel looks at its lower half only, and so do we."""
    tests = [
        Instruction(_JUMP_EQUAL, len(values) - position, 0, value)
        for position, value in enumerate(values)
    ]
    return [
        _load_argument(index),
        *tests,
        Instruction(_RETURN, 0, 0, refuse(errno.EPERM)),
        Instruction(_RETURN, 0, 0, ALLOW),
    ]


def _no_truncating_reader(index: int) -> list[Instruction]:
    """Refuse `O_RDONLY | O_TRUNC`: it empties a file for which Landlock was asked to read only.

    Its first two versions do; and nobody needs it.
    """
    return [
        _load_argument(index),
        Instruction(_AND, 0, 0, _O_ACCMODE | _O_TRUNC),
        Instruction(_JUMP_EQUAL, 0, 1, _O_TRUNC),
        Instruction(_RETURN, 0, 0, refuse(errno.EACCES)),
        Instruction(_RETURN, 0, 0, ALLOW),
    ]


def _load_argument(index: int) -> Instruction:
    # Both architectures are little endian: the lower half comes first.
    return Instruction(_LOAD, 0, 0, _ARGS_OFFSET + 8 * index)
