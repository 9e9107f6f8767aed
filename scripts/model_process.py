"""A child process with a model loaded that answers a line of JSON with a line of JSON.

What the comparisons with other programs share: each side keeps its model loaded in a process of its
own, with an interpreter of its own, and is asked in turns.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, Any

_PATIENCE_S = 30.0


class ComparisonError(Exception):
    """The comparison cannot be made; the message is for a person."""


class ModelProcess:
    """A process with its model loaded.

    Attributes:
        name: Which side it is.
        versions: What it said when it was ready.
    """

    def __init__(self, name: str, process: subprocess.Popen[str], log: IO[bytes]) -> None:
        """Wait until the model is loaded."""
        self.name = name
        self._process = process
        self._log = log
        self.versions = self._receive()

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Have one job done.

        Raises:
            ComparisonError: It has ended.
        """
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended; reading tells why
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            lines = self._log.read().decode("utf-8", errors="replace").strip().splitlines()
            raise ComparisonError(f"the {self.name} process ended: {lines[-1] if lines else '?'}")
        reply: dict[str, Any] = json.loads(line)
        return reply


@contextmanager
def model_process(
    name: str, command: Sequence[object], environment: Mapping[str, str] | None = None
) -> Iterator[ModelProcess]:
    """Start a process and end it afterwards.

    Raises:
        ComparisonError: It cannot be started, or ended before its model was loaded.
    """
    words = [str(word) for word in command]
    with TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                encoding="utf-8",
            )
        except OSError as error:
            raise ComparisonError(f"{words[0]} cannot be started: {error.strerror}") from error
        try:
            yield ModelProcess(name, process, log)
        finally:
            process.terminate()
            try:
                process.communicate(timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
