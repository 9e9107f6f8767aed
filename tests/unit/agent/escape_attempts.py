"""What hostile code tries, run inside the sandbox: its text is sent there, with a call behind it.

Each attempt returns normally if it got away with it, and raises if it was refused.
"""

# An attacker writes for the system, not for pathlib, and tells by printing.
# ruff: noqa: PTH109, PTH115, PTH208, T201

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine

# Numbers that Python's library has no function for: x86-64, aarch64.
CALLS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clone": (56, 220),
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "mount": (165, 40),
    "msgget": (68, 186),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "rt_sigqueueinfo": (129, 138),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "socket": (41, 198),
    "tkill": (200, 130),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
NEW_USER, NEW_NET = 0x10000000, 0x40000000


def system_call(name: str, *arguments: Any) -> int:
    x86_64, aarch64 = CALLS[name]
    number = x86_64 if MACHINE == "x86_64" else aarch64
    result = LIBC.syscall(number, *[ctypes.c_long(a) if type(a) is int else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return int(result)


def attempts(facts: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Return the attempts by name."""
    secret, outside = Path(facts["secret"]), Path(facts["outside"])
    library = Path(os.__file__)
    victim = facts["victim"]

    def connect(kind: int, address: Any, family: int = socket.AF_INET) -> None:
        with socket.socket(family, kind) as client:
            client.settimeout(1)
            client.connect(address)
            client.send(b"secret")

    def climb() -> None:
        os.chdir("/")
        ("." / secret.relative_to("/")).read_text()

    def through_folder_descriptor() -> None:
        folder = os.open(outside, os.O_RDONLY | os.O_DIRECTORY)
        os.open(secret.name, os.O_RDONLY, dir_fd=folder)

    def open_inherited() -> None:
        os.write(facts["descriptor"], b"secret")

    def any_descriptor() -> None:
        for descriptor in range(3, 200):
            try:
                os.fstat(descriptor)
            except OSError:
                continue
            return
        raise OSError

    def thread() -> None:
        try:
            threading.Thread(target=print).start()
        except RuntimeError as error:
            raise OSError from error

    def set_owner_of_signals() -> None:
        read_end, _ = os.pipe()
        fcntl.fcntl(read_end, fcntl.F_SETOWN, victim)

    def type_into_terminal() -> None:
        try:
            fcntl.ioctl(0, 0x5412, b"x")
        except OSError as error:
            if error.errno == errno.ENOTTY:  # it got through to a device that is no terminal
                return
            raise

    def more_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)

    def more_time() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))

    def lower_others_limits() -> None:
        resource.prlimit(victim, resource.RLIMIT_NOFILE, (64, 64))

    def become_root() -> None:
        if os.geteuid() == 0:  # an interpreter in root's home; without privileges it means little
            raise OSError
        os.setuid(0)

    def leave_link() -> None:
        Path("link").symlink_to(secret)

    def many_open_files() -> None:
        kept = [os.open("many", os.O_RDWR | os.O_CREAT) for _ in range(100)]
        assert kept

    def environment() -> None:
        if "hunter2" not in repr(os.environ) and not LIBC.getenv(b"EDGEAGENT_TEST_SECRET"):
            raise OSError

    def shrink_by_reading() -> None:
        Path("shrink").write_text("text")
        os.close(os.open("shrink", os.O_RDONLY | os.O_TRUNC))

    def open_how() -> None:
        how = ctypes.create_string_buffer(24)
        path = ctypes.create_string_buffer(os.fsencode(secret))
        system_call("openat2", -100, path, how, 24)

    def shared_memory() -> None:
        Path("/dev/shm/edgeagent-escape").write_bytes(b"x")

    def every_other_call() -> None:
        """Make all calls that the filter does not list, without arguments."""
        Path("sweep").write_text("")
        for number in range(600):
            if number in facts["listed_calls"]:
                continue
            ctypes.set_errno(0)
            result = LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
            if result != -1 or ctypes.get_errno() not in {errno.EPERM, errno.ENOSYS}:
                return
        raise OSError

    return {
        "inherited descriptor": open_inherited,
        "any descriptor": any_descriptor,
        "tcp": lambda: connect(socket.SOCK_STREAM, ("127.0.0.1", facts["port"])),
        "udp": lambda: connect(socket.SOCK_DGRAM, ("127.0.0.1", facts["port"])),
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "dns": lambda: socket.getaddrinfo("localhost.localdomain", 80),
        "unix socket": lambda: connect(socket.SOCK_STREAM, facts["unix"], socket.AF_UNIX),
        "abstract socket": lambda: connect(socket.SOCK_STREAM, facts["abstract"], socket.AF_UNIX),
        "socket pair": socket.socketpair,
        "socket by number": lambda: system_call("socket", 2, 1, 0),
        "read": secret.read_text,
        "read after chdir": climb,
        "read through a folder": through_folder_descriptor,
        "read with openat2": open_how,
        "read passwords": Path("/etc/passwd").read_text,
        "read packages": lambda: Path(facts["package"]).read_text(),
        "list a folder": lambda: os.listdir(outside),
        "copy": lambda: shutil.copy(secret, "copy"),
        "write": lambda: (outside / "new").write_text("x"),
        "append": lambda: secret.open("a"),
        "truncate": lambda: os.truncate(secret, 0),
        "truncate by reading": shrink_by_reading,
        "make a folder": (outside / "folder").mkdir,
        "remove": secret.unlink,
        "move away": lambda: secret.rename("moved"),
        "move out": lambda: (Path("out").write_text(""), Path("out").rename(outside / "out")),
        "change mode": lambda: secret.chmod(0o777),
        "change time": lambda: os.utime(secret),
        "change owner": lambda: os.chown(secret, os.getuid(), os.getgid()),
        "set attribute": lambda: os.setxattr(secret, "user.x", b"x"),
        "change the library": lambda: library.open("r+b"),
        "add to the library": lambda: (library.parent / "escape.py").write_text(""),
        "mode of the library": lambda: library.chmod(0o777),
        "symbolic link": leave_link,
        "hard link": lambda: os.link(secret, "hard"),
        "hard link to the library": lambda: os.link(library, "hard"),
        "named pipe": lambda: os.mkfifo("pipe"),
        "device": lambda: os.mknod("null", 0o20666, os.makedev(1, 3)),
        "handle": lambda: system_call("open_by_handle_at", -100, 0, 0),
        "/proc environment": Path("/proc/self/environ").read_bytes,
        "/proc memory": lambda: Path("/proc/self/mem").open("r+b"),
        "/proc memory map": Path("/proc/self/maps").read_bytes,
        "/proc root": lambda: os.listdir("/proc/self/root/"),
        "/proc root of others": lambda: os.listdir(f"/proc/{victim}/root/"),
        "/proc links of others": lambda: os.readlink(f"/proc/{victim}/exe"),
        "/proc list": lambda: os.listdir("/proc"),
        "/proc descriptors": lambda: Path(f"/proc/{victim}/fd/0").open("rb"),
        "/sys": lambda: os.listdir("/sys"),
        "terminal": lambda: Path("/dev/tty").open("w"),
        "disk": lambda: os.listdir("/dev"),
        "shared memory file": shared_memory,
        "fork": os.fork,
        "daemon": lambda: (os.fork(), os.setsid()),
        "new session": os.setsid,
        "new group": lambda: os.setpgid(0, 0),
        "vfork": lambda: multiprocessing.Process(target=print).start(),
        "clone": lambda: system_call("clone", signal.SIGCHLD, 0, 0, 0, 0),
        "clone3": lambda: system_call("clone3", 0, 0),
        "thread": thread,
        "shell": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
        "spawn": lambda: os.posix_spawn("/bin/sh", ["sh"], {}),
        "exec": lambda: os.execv(sys.executable, ["python"]),
        "signal parent": lambda: os.kill(facts["parent"], 0),
        "signal victim": lambda: os.kill(victim, signal.SIGKILL),
        "signal all": lambda: os.kill(-1, 0),
        "signal group": lambda: os.killpg(0, 0),
        "signal thread": lambda: system_call("tkill", victim, 0),
        "queue signal": lambda: system_call("rt_sigqueueinfo", victim, 0, 0),
        "own signals": set_owner_of_signals,
        "trace": lambda: system_call("ptrace", 16, victim, 0, 0),
        "trace me": lambda: system_call("ptrace", 0, 0, 0, 0),
        "read memory": lambda: system_call("process_vm_readv", victim, 0, 0, 0, 0, 0),
        "process descriptor": lambda: system_call("pidfd_open", victim, 0),
        "steal descriptor": lambda: system_call("pidfd_getfd", 0, 0, 0),
        "priority of the user": lambda: os.setpriority(os.PRIO_USER, 0, 5),
        "limits of others": lower_others_limits,
        "processors of others": lambda: os.sched_setaffinity(victim, {0}),
        "more memory": more_memory,
        "more time": more_time,
        "much memory": lambda: bytearray(facts["too_many_bytes"]),
        "much mapped memory": lambda: mmap.mmap(-1, facts["too_many_bytes"]),
        "memory in a file": lambda: system_call("memfd_create", ctypes.c_char_p(b"x"), 0),
        "shared memory": lambda: system_call("shmget", 0, 4096, 0o1600),
        "message queue": lambda: system_call("msgget", 0, 0o1600),
        "semaphore": lambda: system_call("semget", 0, 1, 0o1600),
        "many open files": many_open_files,
        "environment": environment,
        "type into the terminal": type_into_terminal,
        "become root": become_root,
        "user namespace": lambda: system_call("unshare", NEW_USER),
        "network namespace": lambda: system_call("unshare", NEW_NET),
        "join a namespace": lambda: system_call("setns", 0, 0),
        "mount": lambda: system_call("mount", 0, ctypes.c_char_p(b"/"), 0, 0, 0),
        "open tree": lambda: system_call("open_tree", -100, ctypes.c_char_p(b"/"), 1),
        "change root": lambda: os.chroot("."),
        "pivot root": lambda: system_call("pivot_root", 0, 0),
        "io_uring": lambda: system_call("io_uring_setup", 1, ctypes.create_string_buffer(120)),
        "bpf": lambda: system_call("bpf", 0, 0, 0),
        "performance events": lambda: system_call("perf_event_open", 0, 0, 0, 0, 0),
        "page faults": lambda: system_call("userfaultfd", 1),
        "personality": lambda: system_call("personality", 0x0040000),
        "keys": lambda: system_call("keyctl", 0, -3, 0, 0, 0),
        "every other call": every_other_call,
    }


def report(facts: dict[str, Any]) -> None:
    """Print the names of the attempts that were refused and of those that were not."""
    refused, escaped = [], []
    scratch = os.getcwd()
    for name, attempt in attempts(facts).items():
        if name in facts["left_out"]:
            continue
        os.chdir(scratch)
        try:
            attempt()
        except (OSError, MemoryError, ValueError):  # a limit that cannot be raised is a ValueError
            refused.append(name)
        else:
            escaped.append(name)
    print(json.dumps({"refused": refused, "escaped": escaped}))
