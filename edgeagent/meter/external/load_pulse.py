"""Load pulses: all cores busy, then quiet, in a pattern that a power meter's recording shows.

Three pulses whose lengths and distances were searched for so that a shifted pattern resembles
itself, and the pattern of the end that of the start, as little as possible: their correlation is
at most 0.41 then. The end has the start's pattern in reverse. The shortest part lasts a second,
because cheap meters read once a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgeagent.clock import now_ns
from edgeagent.config.cores import usable_cores

START_PATTERN = (1.0, 1.0, 2.5, 2.0, 1.0, 1.0, 1.0)
"""Seconds of quiet, pulse, quiet, pulse, quiet, pulse, quiet."""

PATTERNS = {"start": START_PATTERN, "end": tuple(reversed(START_PATTERN))}

Position: TypeAlias = Literal["start", "end"]
OnPulse: TypeAlias = Callable[[float, float], None]
"""Told how many seconds of how many are over."""

_CHUNK = bytes(1 << 18)
"""Hashing this takes a fraction of a millisecond, which bounds how late a pulse ends."""


@dataclass(frozen=True, slots=True)
class Pulses:
    """What was done when, on the monotonic clock.

    Attributes:
        t0_ns: Start of the first quiet.
        t1_ns: End of the last quiet.
        busy: Start and end of each pulse.
        workers: Threads that computed.
    """

    t0_ns: int
    t1_ns: int
    busy: tuple[tuple[int, int], ...]
    workers: int


def make_pulses(
    position: Position,
    *,
    workers: int | None = None,
    pattern: tuple[float, ...] | None = None,
    on_progress: OnPulse = lambda _done_s, _total_s: None,
) -> Pulses:
    """Load the processor in the pattern of the run's start or end, and tell exactly when.

    Args:
        position: Which pattern.
        workers: Threads; by default all cores that this process may use.
        pattern: Seconds of quiet and pulse in turn, in place of the usual one.
        on_progress: Told how far it is.
    """
    count = workers or usable_cores()
    parts = pattern or PATTERNS[position]
    busy: list[tuple[int, int]] = []
    t0_ns = now_ns()
    done_s = 0.0
    with _workers(count) as run:
        for index, part_s in enumerate(parts):
            on_progress(done_s, sum(parts))
            if index % 2:
                start_ns = now_ns()
                run.set()
                try:
                    time.sleep(part_s)
                finally:
                    run.clear()
                busy.append((start_ns, now_ns()))
            else:
                time.sleep(part_s)
            done_s += part_s
        t1_ns = now_ns()
    on_progress(done_s, sum(parts))
    return Pulses(t0_ns, t1_ns, tuple(busy), count)


@contextlib.contextmanager
def _workers(count: int) -> Iterator[threading.Event]:
    """Yield an event; while it is set, that many threads compute."""
    run, end = threading.Event(), threading.Event()

    def work() -> None:
        while not end.is_set():
            run.wait()
            while run.is_set() and not end.is_set():
                hashlib.blake2b(_CHUNK)  # gives the interpreter lock away: one core per thread

    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield run
    finally:
        end.set()
        run.set()
        for thread in threads:
            thread.join()
