"""How a process locks itself in, in the only order that works; there is no way back.

1. It dies with its parent, and may use no more than its limits.
2. An administrator becomes nobody, where nobody can read the interpreter's own files.
3. Namespaces, and a first process in them that the rest happens in.
4. Landlock: needs paths to be opened.
5. No privileges, no further processes, and the filter of system calls, which forbids all of this.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import sysconfig
from typing import NoReturn

from edgeagent.agent.tools.sandbox.kernel import (
    die_with_parent,
    drop_capabilities,
    install_filter,
    set_dumpable,
    set_no_new_privileges,
)
from edgeagent.agent.tools.sandbox.landlock import restrict_files
from edgeagent.agent.tools.sandbox.limits import SandboxLimits
from edgeagent.agent.tools.sandbox.namespaces import SCRATCH, enter_namespaces, enter_small_root
from edgeagent.agent.tools.sandbox.plan import Plan
from edgeagent.agent.tools.sandbox.seccomp import build_filter

SIGNALED = 128
"""A first process that is ended by signal n makes the one outside exit with 128 + n."""

_PACKAGE_FOLDERS = ("site-packages", "dist-packages")
"""What is installed beside the standard library is not the sandbox's business."""

_TIME_ZONES = "/usr/share/zoneinfo"
_NOBODY = 65534


class LayerError(Exception):
    """A layer cannot be had; the message begins with its name."""


def confine(plan: Plan) -> None:
    """Lock this process in; only system errors of the kernel are raised.

    Its working directory is then the scratch folder.

    Raises:
        LayerError: A layer that the plan asks for does not exist here.
    """
    readable = _library_folders()
    hidden = _hidden_folders(readable)
    scratch = plan.scratch
    _die_first()
    if os.getppid() != plan.parent:
        raise LayerError("parent: it ended before")
    _limit(plan.limits)
    _become_nobody(readable, scratch)
    _die_first()  # whoever becomes somebody else has to say it again
    if plan.layers.namespaces:
        try:
            enter_namespaces()
            _die_first()
            _continue_as_first_process()
            size_bytes, files = plan.limits.scratch_bytes, plan.limits.scratch_files
            enter_small_root(scratch, readable, hidden, size_bytes, files)
        except OSError as error:
            raise LayerError(f"namespaces: {error.strerror}") from error
        scratch = SCRATCH
    os.chdir(scratch)
    try:
        set_no_new_privileges()
        if plan.layers.landlock:
            restrict_files(*_visible_files(readable, hidden), scratch)
    except OSError as error:
        raise LayerError(f"landlock: {error.strerror}") from error
    try:
        drop_capabilities()
        set_dumpable(False)
        if plan.layers.seccomp:
            _no_more_processes()
            install_filter(build_filter(os.uname().machine, os.getpid()))
    except (OSError, KeyError) as error:
        reason = getattr(error, "strerror", None) or f"no table for {os.uname().machine}"
        raise LayerError(f"seccomp: {reason}") from error


def _limit(limits: SandboxLimits) -> None:
    import resource  # not on Windows, where this module can be imported too

    try:
        for kind, most in (
            (resource.RLIMIT_AS, limits.memory_bytes),
            (resource.RLIMIT_CPU, limits.cpu_s),
            (resource.RLIMIT_FSIZE, limits.scratch_bytes),
            (resource.RLIMIT_NOFILE, limits.open_files),
            (resource.RLIMIT_STACK, 8 << 20),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_MSGQUEUE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            _, hard = resource.getrlimit(kind)
            allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (allowed, allowed))
    except (OSError, ValueError) as error:
        raise LayerError(f"limits: {error}") from error


def _no_more_processes() -> None:
    import resource

    # Counts all processes of the user, so it forbids new ones without ending this one.
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _become_nobody(readable: list[str], scratch: str) -> None:
    """Give up an administrator's identity if the interpreter's files can be read without it."""
    if os.getuid() != 0:
        return
    try:
        os.setgroups([])
        os.chown(scratch, _NOBODY, _NOBODY)
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.seteuid(_NOBODY)
        for folder in (*readable, scratch):
            os.listdir(folder)  # noqa: PTH208 - pathlib is not loaded in this process
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError:
        # An interpreter in the administrator's home, or a container that knows no nobody. The
        # other layers do not depend on the user.
        os.seteuid(0)
        with contextlib.suppress(OSError):
            os.chown(scratch, 0, 0)
        return
    set_dumpable(True)  # or the kernel would not let it describe its user namespace


def _die_first() -> None:
    """Have the kernel end this process when its parent ends, or when memory gets scarce."""
    die_with_parent(signal.SIGKILL)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("1000")


def _continue_as_first_process() -> None:
    """Go on in the first process of the new namespace; this one waits for it, and ends like it."""
    child = os.fork()
    if child == 0:
        _die_first()
        return
    _wait_and_exit(child)


def _wait_and_exit(child: int) -> NoReturn:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else SIGNALED - code)


def _library_folders() -> list[str]:
    """Return the folders of the standard library, and that of the time zones."""
    paths = sysconfig.get_paths()
    folders = [paths["stdlib"], paths["platstdlib"], *sys.path, _TIME_ZONES]
    found: list[str] = []
    for folder in map(os.path.realpath, folders):
        inside = any(folder == other or folder.startswith(other + os.sep) for other in found)
        if os.path.isdir(folder) and not inside:  # noqa: PTH112
            found.append(folder)
    return found


def _hidden_folders(readable: list[str]) -> list[str]:
    folders = [f"{folder}/{name}" for folder in readable for name in _PACKAGE_FOLDERS]
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112


def _visible_files(readable: list[str], hidden: list[str]) -> tuple[list[str], list[str]]:
    """Return what may be read, and which folders may be listed because not all in them may."""
    files: list[str] = []
    listable: list[str] = []
    for folder in readable:
        if not any(path.startswith(folder + os.sep) for path in hidden):
            files.append(folder)
            continue
        listable.append(folder)
        paths = (f"{folder}/{name}" for name in os.listdir(folder))  # noqa: PTH208
        files += [path for path in paths if path not in hidden]
    return files, listable
