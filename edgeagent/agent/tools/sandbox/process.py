"""Starts confined processes, reads a bounded part of what they say, and ends them."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edgeagent.agent.tools.sandbox import inside
from edgeagent.agent.tools.sandbox.confine import SIGNALED
from edgeagent.agent.tools.sandbox.limits import SandboxLimits
from edgeagent.agent.tools.sandbox.plan import Layers, Plan
from edgeagent.agent.tools.sandbox.scratch import remove_folder, too_full
from edgeagent.errors import ResourceError

_LOOK_S = 0.02
"""How often the scratch folder is measured where the kernel does not bound it."""

_READ_BYTES = 1 << 16
_OPTIONS = ("-P", "-s", "-S", "-B", "-X", "utf8", "-W", "ignore", "-c")
"""No installed packages, no modules of the working directory, nothing written beside modules."""

_ENVIRONMENT = {"PYTHONHASHSEED": "0"}
"""Nothing of ours; and the same code shall give the same answer."""

_PACKAGE_ROOT = Path(inside.__file__).parents[4]
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    f"from {inside.__name__} import main; del sys.path[0]; main()"
)


class Ending(StrEnum):
    """How a confined process ended.

    Attributes:
        DONE: By itself; it printed all it wanted.
        FAILED: The code raised an error.
        LAYER_MISSING: It could not lock itself in, and has run nothing.
        OUTPUT: It was stopped because it printed too much.
        TIME: It was stopped because it took too long.
        FILES: It was stopped because its files took too much space.
        CPU: The kernel ended it for the processor time it used.
        SIGNAL: A signal ended it.
    """

    DONE = "done"
    FAILED = "failed"
    LAYER_MISSING = "layer_missing"
    OUTPUT = "output"
    TIME = "time"
    FILES = "files"
    CPU = "cpu"
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a confined process.

    Attributes:
        ending: How it ended.
        output: What it printed, as much of it as the limits allow.
        message: What the code comes to (`DONE`), what went wrong (`FAILED`, `LAYER_MISSING`), the
            signal's name (`SIGNAL`), else empty.
        wall_s: From start to end.
    """

    ending: Ending
    output: str
    message: str
    wall_s: float


def run_confined(code: str, limits: SandboxLimits, layers: Layers) -> Finished:
    """Run Python code in a process that is confined by these layers and limits.

    Raises:
        ResourceError: No process or folder can be made.
    """
    try:
        scratch = tempfile.mkdtemp(prefix="edgeagent-python-")
    except OSError as error:
        raise ResourceError(
            f"A folder for the Python sandbox cannot be made: {error.strerror}; free some space."
        ) from error
    try:
        with tempfile.TemporaryFile() as source:
            source.write(code.encode("utf-8", "backslashreplace"))
            source.seek(0)
            plan = Plan(layers, limits, os.path.realpath(scratch), os.getpid())
            process = subprocess.Popen(
                [sys.executable, *_OPTIONS, _START, str(_PACKAGE_ROOT), plan.to_json()],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=scratch,
                env=_ENVIRONMENT,
                close_fds=True,
                start_new_session=True,
            )
        return _Watch(process, plan).finish()
    except OSError as error:
        raise ResourceError(
            f"The Python sandbox cannot be started: {error.strerror or error}; free some memory "
            "or processes and try again."
        ) from error
    finally:
        remove_folder(scratch)


class _Watch:
    """Reads from a process until it ends or has to be ended."""

    def __init__(self, process: subprocess.Popen[bytes], plan: Plan) -> None:
        self._process = process
        self._plan = plan
        self._started_s = time.monotonic()
        self._stopped: Ending | None = None
        self._received = {"output": bytearray(), "message": bytearray()}

    def finish(self) -> Finished:
        try:
            self._read()
        finally:
            # Also if it closed its outputs itself, and with all processes that it may have made.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            _, status, used = os.wait4(self._process.pid, 0)
            self._process.returncode = code = os.waitstatus_to_exitcode(status)
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()
        output, message = (
            bytes(data[: self._plan.limits.output_bytes]).decode("utf-8", "replace")
            for data in self._received.values()
        )
        ending = self._stopped or _ending(code, used.ru_utime + used.ru_stime, self._plan.limits)
        if ending is Ending.SIGNAL:
            message = _signal_name(code)
        wall_s = time.monotonic() - self._started_s
        return Finished(ending, output, message, wall_s)

    def _read(self) -> None:
        limits = self._plan.limits
        bounded_by_kernel = self._plan.layers.namespaces
        with selectors.DefaultSelector() as selector:
            for name, pipe in (("output", self._process.stdout), ("message", self._process.stderr)):
                if pipe is not None:
                    selector.register(pipe, selectors.EVENT_READ, self._received[name])
            while selector.get_map():
                left_s = self._started_s + limits.wall_s - time.monotonic()
                if left_s <= 0:
                    self._stopped = Ending.TIME
                    return
                for key, _ in selector.select(left_s if bounded_by_kernel else _LOOK_S):
                    data = os.read(key.fd, _READ_BYTES)
                    if not data:
                        selector.unregister(key.fileobj)
                    key.data.extend(data)
                    if len(key.data) > limits.output_bytes:
                        self._stopped = Ending.OUTPUT
                        return
                if not bounded_by_kernel and too_full(self._plan.scratch, limits):
                    self._stopped = Ending.FILES
                    return


def _ending(code: int, cpu_s: float, limits: SandboxLimits) -> Ending:
    if code == 0:
        return Ending.DONE
    if code == inside.CODE_FAILED:
        return Ending.FAILED
    if code == inside.LAYER_MISSING:
        return Ending.LAYER_MISSING
    # The limit is held against ticks of the clock, which on a busy machine are far from the time.
    killed = _signal_name(code) in {"SIGKILL", "SIGXCPU"}
    return Ending.CPU if killed and cpu_s > limits.cpu_s / 2 else Ending.SIGNAL


def _signal_name(code: int) -> str:
    number = -code if code < 0 else code - SIGNALED
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"exit status {code}"
