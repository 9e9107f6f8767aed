"""System call numbers, and which calls a confined process may make.

Numbers are from Linux's `arch/x86/entry/syscalls/syscall_64.tbl` and
`include/uapi/asm-generic/unistd.h` (aarch64). They never change.

Everything that is not in `ALLOWED` is refused, also what kernels will learn in future. Most of it
gets ENOSYS, which makes C libraries try an older way; `REFUSED` gets EPERM, which Python reports
as the `PermissionError` that it is.
"""

from __future__ import annotations

from typing import NamedTuple

X86_64 = "x86_64"
AARCH64 = "aarch64"

AUDIT_ARCH = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}
"""How seccomp names the instruction set of a call (`linux/audit.h`)."""

X32_BIT = 0x40000000
"""Marks calls of the x32 instruction set, which share x86-64's name."""


class Numbers(NamedTuple):
    """A call's number by architecture; `None` where it does not exist."""

    x86_64: int | None
    aarch64: int | None


ALLOWED: dict[str, Numbers] = {
    # Files; which of them is for Landlock and the mount namespace to say.
    "read": Numbers(0, 63),
    "write": Numbers(1, 64),
    "readv": Numbers(19, 65),
    "writev": Numbers(20, 66),
    "pread64": Numbers(17, 67),
    "pwrite64": Numbers(18, 68),
    "preadv": Numbers(295, 69),
    "pwritev": Numbers(296, 70),
    "close": Numbers(3, 57),
    "close_range": Numbers(436, 436),
    "lseek": Numbers(8, 62),
    "stat": Numbers(4, None),
    "fstat": Numbers(5, 80),
    "lstat": Numbers(6, None),
    "newfstatat": Numbers(262, 79),
    "statx": Numbers(332, 291),
    "access": Numbers(21, None),
    "faccessat": Numbers(269, 48),
    "faccessat2": Numbers(439, 439),
    "getdents64": Numbers(217, 61),
    "getcwd": Numbers(79, 17),
    "chdir": Numbers(80, 49),
    "fchdir": Numbers(81, 50),
    "mkdir": Numbers(83, None),
    "mkdirat": Numbers(258, 34),
    "rmdir": Numbers(84, None),
    "unlink": Numbers(87, None),
    "unlinkat": Numbers(263, 35),
    "rename": Numbers(82, None),
    "renameat": Numbers(264, 38),
    "renameat2": Numbers(316, 276),
    "ftruncate": Numbers(77, 46),
    "fsync": Numbers(74, 82),
    "fdatasync": Numbers(75, 83),
    "fadvise64": Numbers(221, 223),
    "dup": Numbers(32, 23),
    "dup2": Numbers(33, None),
    "dup3": Numbers(292, 24),
    "pipe": Numbers(22, None),
    "pipe2": Numbers(293, 59),
    "poll": Numbers(7, None),
    "ppoll": Numbers(271, 73),
    "select": Numbers(23, None),
    "pselect6": Numbers(270, 72),
    "umask": Numbers(95, 166),
    # Memory, within the address space that the resource limit leaves.
    "brk": Numbers(12, 214),
    "mmap": Numbers(9, 222),
    "mprotect": Numbers(10, 226),
    "mremap": Numbers(25, 216),
    "munmap": Numbers(11, 215),
    "madvise": Numbers(28, 233),
    # Time.
    "clock_getres": Numbers(229, 114),
    "clock_gettime": Numbers(228, 113),
    "clock_nanosleep": Numbers(230, 115),
    "gettimeofday": Numbers(96, 169),
    "nanosleep": Numbers(35, 101),
    "time": Numbers(201, None),
    "times": Numbers(100, 153),
    # Itself: signals to itself, locks within itself, what it is and uses.
    "alarm": Numbers(37, None),
    "exit": Numbers(60, 93),
    "exit_group": Numbers(231, 94),
    "futex": Numbers(202, 98),
    "getegid": Numbers(108, 177),
    "geteuid": Numbers(107, 175),
    "getgid": Numbers(104, 176),
    "getgroups": Numbers(115, 158),
    "getitimer": Numbers(36, 102),
    "getpid": Numbers(39, 172),
    "getppid": Numbers(110, 173),
    "getrandom": Numbers(318, 278),
    "getresgid": Numbers(120, 150),
    "getresuid": Numbers(118, 148),
    "getrlimit": Numbers(97, 163),
    "getrusage": Numbers(98, 165),
    "gettid": Numbers(186, 178),
    "getuid": Numbers(102, 174),
    "pause": Numbers(34, None),
    "restart_syscall": Numbers(219, 128),
    "rseq": Numbers(334, 293),
    "rt_sigaction": Numbers(13, 134),
    "rt_sigpending": Numbers(127, 136),
    "rt_sigprocmask": Numbers(14, 135),
    "rt_sigreturn": Numbers(15, 139),
    "rt_sigsuspend": Numbers(130, 133),
    "rt_sigtimedwait": Numbers(128, 137),
    "sched_yield": Numbers(24, 124),
    "set_robust_list": Numbers(273, 99),
    "setitimer": Numbers(38, 103),
    "setrlimit": Numbers(160, 164),
    "sigaltstack": Numbers(131, 132),
    "uname": Numbers(63, 160),
}

CHECKED: dict[str, Numbers] = {
    # Allowed with some arguments only; `seccomp` says which.
    "open": Numbers(2, None),
    "openat": Numbers(257, 56),
    "fcntl": Numbers(72, 25),
    "ioctl": Numbers(16, 29),
    "kill": Numbers(62, 129),
    "tgkill": Numbers(234, 131),
    "prlimit64": Numbers(302, 261),
    "sched_getaffinity": Numbers(204, 123),
}

REFUSED: dict[str, Numbers] = {
    # Other machines and processes.
    "socket": Numbers(41, 198),
    "socketpair": Numbers(53, 199),
    "connect": Numbers(42, 203),
    "bind": Numbers(49, 200),
    # More processes and threads; C libraries fall back to `clone` when `clone3` does not exist.
    "clone": Numbers(56, 220),
    "fork": Numbers(57, None),
    "vfork": Numbers(58, None),
    "execve": Numbers(59, 221),
    "execveat": Numbers(322, 281),
    "ptrace": Numbers(101, 117),
    "process_vm_readv": Numbers(310, 270),
    "process_vm_writev": Numbers(311, 271),
    "pidfd_open": Numbers(434, 434),
    "tkill": Numbers(200, 130),
    "setpriority": Numbers(141, 140),
    "setsid": Numbers(112, 157),
    "setpgid": Numbers(109, 154),
    # Landlock does not know these.
    "chmod": Numbers(90, None),
    "fchmod": Numbers(91, 52),
    "fchmodat": Numbers(268, 53),
    "chown": Numbers(92, None),
    "fchown": Numbers(93, 55),
    "lchown": Numbers(94, None),
    "fchownat": Numbers(260, 54),
    "utime": Numbers(132, None),
    "utimes": Numbers(235, None),
    "utimensat": Numbers(280, 88),
    "setxattr": Numbers(188, 5),
    "fsetxattr": Numbers(190, 7),
    "truncate": Numbers(76, 45),  # before its third version
    # Links lead out of the scratch folder, for whoever cleans it up or looks into /proc.
    "link": Numbers(86, None),
    "linkat": Numbers(265, 37),
    "symlink": Numbers(88, None),
    "symlinkat": Numbers(266, 36),
    "readlink": Numbers(89, None),
    "readlinkat": Numbers(267, 78),
    "mknod": Numbers(133, None),
    "mknodat": Numbers(259, 33),
    # The system.
    "mount": Numbers(165, 40),
    "umount2": Numbers(166, 39),
    "pivot_root": Numbers(155, 41),
    "unshare": Numbers(272, 97),
    "setns": Numbers(308, 268),
    "bpf": Numbers(321, 280),
    "userfaultfd": Numbers(323, 282),
    "io_uring_setup": Numbers(425, 425),
    "memfd_create": Numbers(319, 279),  # memory that no resource limit counts
    "capset": Numbers(126, 91),
    "seccomp": Numbers(317, 277),
}


def number(name: str, machine: str) -> int | None:
    """Return a call's number, `None` if the architecture does not have it.

    Raises:
        KeyError: A call or an architecture that is not listed.
    """
    numbers = ALLOWED.get(name) or CHECKED.get(name) or REFUSED[name]
    return {X86_64: numbers.x86_64, AARCH64: numbers.aarch64}[machine]
