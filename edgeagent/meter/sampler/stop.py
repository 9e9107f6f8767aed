"""How the sampler process is told to stop: its standard input closes, or a signal arrives."""

from __future__ import annotations

import math
import os
import select
import threading
from typing import Protocol


class Stop(Protocol):
    """Something that is waited for between two readings; `threading.Event` is one."""

    def is_set(self) -> bool:
        """Tell whether to stop."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for at most `timeout` seconds; return whether to stop."""
        ...


class EndOfInput:
    """Set when the pipe closes; one poll per wait, half the processor time of an event and thread.

    POSIX only: Windows cannot poll a pipe.
    """

    def __init__(self, descriptor: int) -> None:
        """Watch `descriptor`, which nobody else may read from now on."""
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._is_set = False

    def set(self) -> None:
        """Stop; safe to call from a signal handler. A wait ends at its timeout."""
        self._is_set = True

    def is_set(self) -> bool:
        """Tell whether to stop."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for at most `timeout` seconds; return whether to stop."""
        if not self._is_set:
            timeout_ms = None if timeout is None else math.floor(timeout * 1000)
            if self._poll.poll(timeout_ms):
                self._is_set |= _is_at_end(self._descriptor)
        return self._is_set


def end_of_input(descriptor: int) -> EndOfInput | threading.Event:
    """Return what is set when nothing more can be read from `descriptor`."""
    if hasattr(select, "poll") and os.name == "posix":
        return EndOfInput(descriptor)
    event = threading.Event()
    threading.Thread(target=_watch, args=(descriptor, event), daemon=True).start()
    return event


def _watch(descriptor: int, event: threading.Event) -> None:
    """Set `event` when the pipe closes; a raw read holds no lock that the exit would wait for."""
    while not _is_at_end(descriptor):
        pass
    event.set()


def _is_at_end(descriptor: int) -> bool:
    try:
        return not os.read(descriptor, 1 << 10)
    except OSError:
        return True
