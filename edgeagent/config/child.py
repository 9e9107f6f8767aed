"""Processes of our own that measure or are measured: how they start, and how one talks to them.

What such a process writes to its standard error goes to a file: a pipe that nobody reads would
block it. If it crashes, the last line there says why.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TextIO, cast

from edgeagent.errors import ResourceError

STOP_TIMEOUT_S = 10.0
"""Unloading a model takes less; a process that needs longer is ended."""

_WAIT_S = 0.5
"""A wait without end could not be interrupted by Ctrl-C on Windows."""


def python_module(module: str) -> list[str]:
    """Return the command that runs a module with this interpreter.

    With `-P`, a file of the working directory cannot stand in for a module.
    """
    return [sys.executable, "-P", "-m", module]


def child_options() -> dict[str, Any]:
    """Return `Popen` options for such a process.

    It imports from the same places as this one, and it is in a process group of its own: a
    terminal's Ctrl-C reaches only this process, which ends its children in order.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    options: dict[str, Any] = {"env": os.environ | {"PYTHONPATH": path}}
    if sys.platform == "win32":
        return options | {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return options | {"process_group": 0}


class JsonChild:
    """A process with its pipes; its lines arrive in a queue, `None` behind the last one.

    Attributes:
        pid: Of the process.
    """

    def __init__(
        self,
        module: str,
        *,
        name: str = "A process to measure in",
        stop_timeout_s: float = STOP_TIMEOUT_S,
    ) -> None:
        """Start `python -m module`.

        Args:
            module: What runs in it.
            name: What to call it in messages.
            stop_timeout_s: How long it may take to exit before it is ended.

        Raises:
            ResourceError: The system cannot start it.
        """
        self._stop_timeout_s = stop_timeout_s
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        try:
            self._process = subprocess.Popen(
                python_module(module),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                **child_options(),
            )
        except OSError as error:
            self._stderr.close()
            raise ResourceError(
                f"{name} cannot be started: {error.strerror or error}; free some memory or "
                "processes and try again."
            ) from error
        self.pid = self._process.pid
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def send(self, line: str) -> None:
        """Ask; what becomes of it is seen in the answer."""
        with contextlib.suppress(OSError, ValueError):  # it is gone; the missing answer tells why
            self._stdin.write(line.encode() + b"\n")
            self._stdin.flush()

    def receive(
        self,
        meanwhile: Callable[[], None] | None = None,
        interval_s: float = _WAIT_S,
        *,
        timeout_s: float = math.inf,
    ) -> bytes | None:
        """Return the next line, `None` when the process has ended.

        Args:
            meanwhile: Called about every `interval_s` until there is one.
            interval_s: Longest time between two calls.
            timeout_s: Longest time to wait.

        Raises:
            TimeoutError: There was no line within that time.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=min(interval_s, left_s))
                if line is None:
                    self._lines.put(None)  # whoever asks again gets the same answer
                return line
            if meanwhile is not None:
                meanwhile()

    def close_stdin(self) -> None:
        """Tell it that nothing more will be asked; idempotent."""
        with contextlib.suppress(OSError):  # bytes for a process that is gone
            self._stdin.close()

    def last_words(self) -> str:
        """Return the last line it wrote to its standard error, or how it ended."""
        status = "unknown"
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = str(self._process.wait(timeout=self._stop_timeout_s))
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip().rstrip(".") if lines else f"exit status {status}"

    def end(self, *, at_once: bool = False) -> None:
        """Let it exit, end it if it does not, and release everything; idempotent.

        Args:
            at_once: Do not wait for what it is doing.
        """
        if at_once:
            self._process.kill()
        self.close_stdin()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=self._stop_timeout_s)
        finally:
            self._process.kill()  # does nothing to a process that has ended
            self._process.wait()
            self._listener.join()
            self._stdout.close()
            self._stderr.close()

    def _listen(self) -> None:
        for line in self._stdout:
            self._lines.put(line)
        self._lines.put(None)


def private_stdout() -> TextIO:
    """Return the pipe to the parent, and let everything else that is printed go to stderr.

    Libraries of a runtime may print whatever they like; half a line of theirs would spoil a line
    of ours. For use in the child, once.
    """
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe
