"""A child process that is asked with lines of JSON and answers with lines of JSON.

What it writes to its standard error goes to a file: a pipe that nobody reads would block it. If
it crashes, the last line there says why.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable
from typing import IO, TextIO, cast

from edgeagent.config.child import child_options, python_module
from edgeagent.errors import ResourceError

STOP_TIMEOUT_S = 10.0
"""Unloading a model takes less; a process that needs longer is ended."""

_WAIT_S = 0.5
"""A wait without end could not be interrupted by Ctrl-C on Windows."""


class JsonChild:
    """A process with its pipes; its lines arrive in a queue, `None` behind the last one.

    Attributes:
        pid: Of the process.
    """

    def __init__(self, module: str) -> None:
        """Start `python -m module`.

        Raises:
            ResourceError: The system cannot start it.
        """
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
                f"A process to measure in cannot be started: {error.strerror or error}; free some "
                "memory or processes and try again."
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
        self, meanwhile: Callable[[], None] | None = None, interval_s: float = _WAIT_S
    ) -> bytes | None:
        """Return the next line, `None` when the process has ended.

        Args:
            meanwhile: Called about every `interval_s` until there is one.
            interval_s: Longest time between two calls.
        """
        while True:
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=interval_s)
                if line is None:
                    self._lines.put(None)  # whoever asks again gets the same answer
                return line
            if meanwhile is not None:
                meanwhile()

    def last_words(self) -> str:
        """Return the last line it wrote to its standard error, or how it ended."""
        status = "unknown"
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = str(self._process.wait(timeout=STOP_TIMEOUT_S))
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
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_TIMEOUT_S)
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
