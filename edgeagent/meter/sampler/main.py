"""The sampler process: `python -m edgeagent.meter.sampler.main`, started by `Sampler` only.

It reads its job from standard input and samples until that pipe closes, which also happens when the
parent dies in whatever way, or until the measured process is gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from edgeagent.errors import ResourceError
from edgeagent.meter.discover import discover
from edgeagent.meter.external.requested import discover_requested
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.sampler.held import HeldFiles
from edgeagent.meter.sampler.job import SamplerJob, SamplerMessage
from edgeagent.meter.sampler.loop import SamplingLoop, Stopwatch
from edgeagent.meter.sampler.stop import Stop, end_of_input
from edgeagent.meter.tree import SystemTree

_STDIN = 0
_STDOUT = 1
_MAX_JOB_BYTES = 1 << 20


def main() -> int:
    """Sample until told to stop; return the exit status."""
    _leave_interrupts_to_the_parent()
    try:
        job = SamplerJob.model_validate_json(_read_line())
        process = psutil.Process(job.pid)
    except (OSError, ValueError, psutil.Error) as error:
        _tell(SamplerMessage(failed=str(error)))
        return 1
    stop = end_of_input(_STDIN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return _sample(job, stop, _life_of(process))


def _sample(job: SamplerJob, stop: Stop, is_alive: Callable[[], bool]) -> int:
    tree = SystemTree(Path(job.root or "/"), HeldFiles())
    discovery = discover(job.pid, tree)
    if job.meters or job.estimate is not None:
        requested = discover_requested(job.meters, job.estimate)
        discovery = Discovery.union((discovery, requested))
    loop = SamplingLoop(job, discovery)
    gc.freeze()  # what is there now stays; collections need not look at it every few seconds
    stopwatch = Stopwatch()
    error = ""

    def is_ready() -> None:
        nonlocal stopwatch
        _tell(SamplerMessage(ready=discovery.sources))
        stopwatch = Stopwatch()  # the start, with its first and cold readings, is over

    try:
        loop.run(stop, is_alive, is_ready)
    except ResourceError as failure:
        error = str(failure)
    _tell(SamplerMessage(summary=loop.summary(stopwatch.wall_s, stopwatch.cpu_s, error)))
    return 1 if error else 0


def _leave_interrupts_to_the_parent() -> None:
    """Ctrl-C reaches the whole group; the parent saves its work first and then closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGHUP", "SIGBREAK"):  # a closed terminal on POSIX, Ctrl-Break on Windows
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def _read_line() -> bytes:
    """Read the job's line without a buffer that would swallow the end of the input."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_JOB_BYTES:
        chunk = os.read(_STDIN, 1 << 16)
        if not chunk:
            break
        line += chunk
    return line


def _life_of(process: psutil.Process) -> Callable[[], bool]:
    """Return a check that is not fooled by a new process with the same number, or by a zombie."""

    def is_alive() -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    return is_alive


def _tell(message: SamplerMessage) -> None:
    """Write one line; that nobody listens any more must not cost the last batch."""
    line = message.model_dump_json(exclude_none=True).encode() + b"\n"
    with contextlib.suppress(OSError):
        os.write(_STDOUT, line)


if __name__ == "__main__":
    sys.exit(main())
