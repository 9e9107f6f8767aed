"""What a server writes to its standard error: its end for messages, all of it in a file."""

from __future__ import annotations

import collections
import contextlib
import os
import threading
from pathlib import Path
from typing import IO, TextIO

from edgeagent.errors import ConfigError

MAX_LOG_BYTES = 16 << 20
_KEPT_LINES = 20
_JOIN_TIMEOUT_S = 1.0


class ErrorLog:
    """A pipe whose other end is drained for as long as somebody writes.

    Attributes:
        stream: What a server is given as its standard error.
    """

    def __init__(self, file: Path | None) -> None:
        """Start draining.

        Args:
            file: Gets everything up to `MAX_LOG_BYTES`; what was there before is replaced.

        Raises:
            ConfigError: The file cannot be written.
        """
        self._file: IO[bytes] | None = None
        if file is not None:
            try:
                self._file = file.open("wb")
            except OSError as error:
                raise ConfigError(f"The log {file} cannot be written: {error.strerror}.") from error
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        read_end, write_end = os.pipe()
        self.stream: TextIO = os.fdopen(write_end, "w", encoding="utf-8")
        self._thread = threading.Thread(
            target=self._drain, args=(os.fdopen(read_end, "rb", buffering=0),), daemon=True
        )
        self._thread.start()

    def last_line(self) -> str:
        """Return the last line that says something, empty if there is none."""
        self._thread.join(_JOIN_TIMEOUT_S if self.stream.closed else 0)
        return next((line for line in reversed(list(self._lines)) if line), "")

    def close(self) -> None:
        """Stop writing. Draining ends when the last process that has the other end is gone."""
        with contextlib.suppress(OSError):
            self.stream.close()
        self._thread.join(_JOIN_TIMEOUT_S)

    def _drain(self, pipe: IO[bytes]) -> None:
        written, rest = 0, b""
        with pipe, self._file or contextlib.nullcontext():
            while chunk := pipe.read(1 << 16):
                *lines, rest = (rest + chunk)[-(1 << 17) :].split(b"\n")
                self._lines.extend(line.decode(errors="replace").strip() for line in lines)
                if self._file is not None and written < MAX_LOG_BYTES:
                    with contextlib.suppress(OSError):  # a full disk must not block the server
                        self._file.write(chunk)
                        self._file.flush()
                    written += len(chunk)
            if rest.strip():
                self._lines.append(rest.decode(errors="replace").strip())
