"""How fast this device reads main memory with some threads: the ceiling of decoding.

Several threads reduce arrays of their own with numpy, which lets other threads run meanwhile. The
arrays are several times as large as the last-level cache, so that each pass comes from memory, and
every page of them was written, so that none is the system's shared page of zeros. What a machine
reads fastest depends on its vector units, so several reductions are tried; the ceiling is the best
of them. Writing is not measured: a decode step hardly writes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeagent.clock import now_ns
from edgeagent.record.bench import CeilingReading

BLOCK_NS = 40_000_000
"""Shortest time of a block; starting threads and calls takes less than a hundredth of it."""

BLOCKS = 5
"""Of each way of reading."""

_CACHE_MULTIPLE = 4
_MIN_BYTES = 128 << 20
_ASSUMED_CACHE_BYTES = 64 << 20
"""Where the system does not tell; more than all but a few processors have."""
_MEMORY_SHARE = 0.25
_WORD = 8

Buffer: TypeAlias = NDArray[np.float64]
Reduction: TypeAlias = Callable[[Buffer], Any]

REDUCTIONS: dict[str, Reduction] = {
    "read:sum_f64": np.add.reduce,
    "read:or_u64": lambda buffer: np.bitwise_or.reduce(buffer.view(np.uint64)),
    "read:max_i64": lambda buffer: np.maximum.reduce(buffer.view(np.int64)),
}


def buffer_bytes(cache_bytes: int | None, available_bytes: int) -> int | None:
    """Return how much memory to read per pass.

    Args:
        cache_bytes: Last-level caches of the machine, `None` if unknown.
        available_bytes: Memory that can be had; a quarter of it is taken at most.

    Returns:
        Bytes of all threads together, `None` if that is too little memory to be sure that the
        caches do not serve it.
    """
    cache = _ASSUMED_CACHE_BYTES if cache_bytes is None else cache_bytes
    wanted = max(_CACHE_MULTIPLE * cache, _MIN_BYTES)
    allowed = int(available_bytes * _MEMORY_SHARE)
    if allowed < _CACHE_MULTIPLE * cache // 2:
        return None
    return min(wanted, allowed)


def measure_bandwidth(
    threads: int, total_bytes: int, names: tuple[str, ...], round_: int = 0
) -> Iterator[CeilingReading]:
    """Yield the blocks of each reduction, in the order of `names`.

    Args:
        threads: That read at the same time.
        total_bytes: Of their arrays together.
        names: Keys of `REDUCTIONS`.
        round_: Number of the round, for the record.
    """
    readers = _Readers(threads, total_bytes)
    try:
        for name in names:
            pass_ns = readers.run(REDUCTIONS[name], 1)[2]  # the first pass also wakes the threads
            pass_ns = min(pass_ns, readers.run(REDUCTIONS[name], 1)[2])
            passes = max(1, math.ceil(BLOCK_NS / max(1, pass_ns)))
            for _ in range(BLOCKS):
                t0_ns, t1_ns, _duration = readers.run(REDUCTIONS[name], passes)
                yield CeilingReading(
                    kernel=name,
                    round=round_,
                    threads=threads,
                    amount=passes * readers.pass_bytes,
                    t0_ns=t0_ns,
                    t1_ns=t1_ns,
                )
    finally:
        readers.close()


class _Readers:
    """Threads that wait for something to do, each with an array that it wrote itself.

    Writing by the reader puts the pages into the memory that is nearest to its core.
    """

    def __init__(self, threads: int, total_bytes: int) -> None:
        self._words = total_bytes // threads // _WORD
        self.pass_bytes = self._words * _WORD * threads
        self._barrier = threading.Barrier(threads + 1)
        self._work: tuple[Reduction, int] | None = None
        self._times: list[tuple[int, int]] = [(0, 0)] * threads
        self._threads = [
            threading.Thread(target=self._read, args=(index,), daemon=True)
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()
        self._barrier.wait()  # all arrays are written

    def run(self, reduction: Reduction, passes: int) -> tuple[int, int, int]:
        """Let all threads read their array `passes` times; return begin, end and duration."""
        self._work = reduction, passes
        self._barrier.wait()
        self._barrier.wait()
        t0_ns = min(begin for begin, _ in self._times)
        t1_ns = max(end for _, end in self._times)
        return t0_ns, t1_ns, t1_ns - t0_ns

    def close(self) -> None:
        """End the threads."""
        self._work = None
        self._barrier.wait()
        for thread in self._threads:
            thread.join()

    def _read(self, index: int) -> None:
        buffer = np.arange(1, self._words + 1, dtype=np.float64)
        self._barrier.wait()
        while True:
            self._barrier.wait()
            if self._work is None:
                return
            reduction, passes = self._work
            t0_ns = now_ns()
            for _ in range(passes):
                reduction(buffer)
            self._times[index] = t0_ns, now_ns()
            self._barrier.wait()
