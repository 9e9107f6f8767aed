"""The filter of system calls: its program is executed here as the kernel would do it."""

from __future__ import annotations

import errno
import re
import signal
import sys
from pathlib import Path

import pytest

from edgeagent.agent.tools.sandbox import landlock
from edgeagent.agent.tools.sandbox.seccomp import (
    ALLOW,
    KILL_PROCESS,
    Instruction,
    build_filter,
    refuse,
)
from edgeagent.agent.tools.sandbox.syscalls import (
    AARCH64,
    ALLOWED,
    AUDIT_ARCH,
    CHECKED,
    REFUSED,
    X32_BIT,
    X86_64,
    number,
)

MACHINES = [X86_64, AARCH64]
HEADERS = {
    X86_64: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    AARCH64: Path("/usr/include/asm-generic/unistd.h"),
}
PID = 77
NO_CALL = refuse(errno.ENOSYS)
NOT_ALLOWED = refuse(errno.EPERM)


def verdict(machine: str, call: str | int, *arguments: int, audit_arch: int | None = None) -> int:
    nr = number(call, machine) if isinstance(call, str) else call
    assert nr is not None
    words = [nr, AUDIT_ARCH[machine] if audit_arch is None else audit_arch, 0, 0]
    for argument in (*arguments, *[0] * (6 - len(arguments))):
        words += [argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF]
    return execute(build_filter(machine, PID), words)


def execute(program: tuple[Instruction, ...], words: list[int]) -> int:
    """Interpret the instructions that filters use (Documentation/networking/filter.rst)."""
    accumulator, position = 0, 0
    while True:
        code, jump_true, jump_false, value = program[position]
        position += 1
        match code:
            case 0x20:
                accumulator = words[value // 4]
            case 0x54:
                accumulator &= value
            case 0x15:
                position += jump_true if accumulator == value else jump_false
            case 0x35:
                position += jump_true if accumulator >= value else jump_false
            case 0x06:
                return value
            case _:
                pytest.fail(f"unknown instruction {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_listed_call_gets_its_verdict(machine: str) -> None:
    for name in ALLOWED:
        if number(name, machine) is not None:
            assert verdict(machine, name) == ALLOW, name
    for name in REFUSED:
        if number(name, machine) is not None:
            assert verdict(machine, name, *[2**64 - 1] * 6) == NOT_ALLOWED, name


@pytest.mark.parametrize("machine", MACHINES)
def test_no_other_call_is_allowed(machine: str) -> None:
    listed = {number(name, machine) for name in (*ALLOWED, *CHECKED, *REFUSED)}
    for other in set(range(1000)) - listed:
        assert verdict(machine, other) == NO_CALL
    assert verdict(machine, "clone") == NOT_ALLOWED
    assert verdict(machine, 435) == NO_CALL  # clone3: libraries fall back to clone


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_other_instruction_sets_end_the_process(machine: str) -> None:
    i386 = 0x40000003
    assert verdict(machine, "read", audit_arch=i386) == KILL_PROCESS
    other = AUDIT_ARCH[AARCH64 if machine == X86_64 else X86_64]
    assert verdict(machine, "read", audit_arch=other) == KILL_PROCESS
    x32 = verdict(machine, X32_BIT + 41)
    assert x32 == (KILL_PROCESS if machine == X86_64 else NO_CALL)


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_are_checked(machine: str) -> None:
    assert verdict(machine, "kill", PID, signal.SIGTERM) == ALLOW
    for pid in (PID + 1, 1, 0, -1, -PID):
        assert verdict(machine, "kill", pid, 0) == NOT_ALLOWED
        assert verdict(machine, "tgkill", pid, PID, 0) == NOT_ALLOWED
    for pid, expected in {0: ALLOW, PID: ALLOW, 1: NOT_ALLOWED}.items():
        assert verdict(machine, "prlimit64", pid) == expected
        assert verdict(machine, "sched_getaffinity", pid) == expected
    f_getfd, f_setown, f_setsig = 1, 8, 10
    assert verdict(machine, "fcntl", 3, f_getfd) == ALLOW
    assert verdict(machine, "fcntl", 3, f_setown, 1) == NOT_ALLOWED
    assert verdict(machine, "fcntl", 3, f_setsig, 1) == NOT_ALLOWED
    tcgets, tiocsti = 0x5401, 0x5412
    assert verdict(machine, "ioctl", 0, tcgets) == ALLOW
    assert verdict(machine, "ioctl", 0, tiocsti) == NOT_ALLOWED
    # The kernel ignores the upper half of these; it must not hide what the lower half says.
    assert verdict(machine, "ioctl", 0, 1 << 32 | tiocsti) == NOT_ALLOWED
    assert verdict(machine, "kill", 1 << 32 | PID + 1) == NOT_ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_a_file_is_not_emptied_by_opening_it_to_read(machine: str) -> None:
    read_only, read_write, create, truncate = 0, 2, 0o100, 0o1000
    for flags, expected in {
        read_only: ALLOW,
        read_write | create | truncate: ALLOW,
        read_only | truncate: refuse(errno.EACCES),
        read_only | create | truncate: refuse(errno.EACCES),
    }.items():
        assert verdict(machine, "openat", 0, 0, flags) == expected
        if machine == X86_64:
            assert verdict(machine, "open", 0, flags) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    if not HEADERS[machine].is_file():
        pytest.skip("no kernel headers here")
    text = HEADERS[machine].read_text()
    known = {
        name: int(value)
        for name, value in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", text, re.M)
    }
    if machine == AARCH64:
        known |= {"newfstatat": known["fstatat"], "getrlimit": 163, "setrlimit": 164}
    for name in (*ALLOWED, *CHECKED, *REFUSED):
        assert known.get(name) == number(name, machine), name


def test_a_machine_without_a_table_has_no_filter() -> None:
    with pytest.raises(KeyError):
        build_filter("riscv64", PID)


@pytest.mark.skipif(sys.platform != "linux", reason="opens paths as Linux does")
@pytest.mark.parametrize(
    ("version", "rights", "network", "scopes"),
    [
        (1, 0x1FFF, 0, 0),
        (2, 0x3FFF, 0, 0),
        (3, 0x7FFF, 0, 0),
        (4, 0x7FFF, 3, 0),
        (5, 0xFFFF, 3, 0),
        (6, 0xFFFF, 3, 3),
        (9, 0xFFFF, 3, 3),
    ],
)
def test_landlock_uses_all_that_its_version_knows(
    version: int, rights: int, network: int, scopes: int, tmp_path: Path
) -> None:
    calls: list[tuple[object, ...]] = []
    file = tmp_path / "file"
    file.write_text("")

    def fake(call: int, *arguments: object) -> int:
        if call == 444 and arguments[0] is None:
            return version
        calls.append((call, *(getattr(a, "raw", a) for a in arguments)))
        return 1000

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landlock, "system_call", fake)
        patch.setattr(landlock.os, "close", lambda descriptor: None)
        landlock.restrict_files([str(file)], [str(tmp_path)], str(tmp_path))
    (_, attributes, size, _), *rules, last = calls
    assert size == 24
    assert isinstance(attributes, bytes)
    assert attributes == b"".join(part.to_bytes(8, "little") for part in (rights, network, scopes))
    allowed = [int.from_bytes(rule[3][:8], "little") for rule in rules]  # type: ignore[index]
    execute, symbolic_link = 1, 1 << 12
    assert allowed[0] == 1 << 2  # a file is read, not listed
    assert allowed[1] == 1 << 3
    assert not any(right & (execute | symbolic_link) or right & ~rights for right in allowed)
    assert last[:2] == (446, 1000)
