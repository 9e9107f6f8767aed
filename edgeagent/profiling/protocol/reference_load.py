"""Runs the reference load of `edgeagent.record.reference`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np

from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.record.reference import ReferenceRecord
from edgeagent.record.run import RunConfig

_REPETITIONS = 6
_HASHED_BYTES = 8 << 20
"""Per thread; a few milliseconds on a laptop, some more where hashing has no instruction."""
_READ_BYTES = 32 << 20
"""Per thread; beyond the private caches, small enough for a board with 1 GB."""
_INTERVAL_NS = 2 * NS_PER_S
"""About 50 ms of work every two seconds. The speed of a machine that is shared changes from second
to second by a fifth; thirty looks in a minute tell its mean to a few percent."""


class ReferenceLoad:
    """Threads and data of the reference load; hashing and summing release the interpreter lock."""

    def __init__(self, config: RunConfig, session: int, threads: int) -> None:
        """Start the threads and touch the data, so that the first run is like the others."""
        self._config = config
        self._session = session
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reference")
        self._text = bytes(_HASHED_BYTES)
        self._numbers = [
            np.ones(_READ_BYTES // 8, dtype=np.int64) for _ in range(threads)
        ]  # one each, as a core's own cache could serve what all read
        self._last_ns: int | None = None
        self._timed(self._hash)
        self._timed(self._sum)

    def due(self) -> bool:
        """Whether enough time has passed since the last run."""
        return self._last_ns is None or now_ns() - self._last_ns >= _INTERVAL_NS

    def run(self) -> ReferenceRecord:
        """Run it once and return how long its parts took."""
        t0_ns = now_ns()
        compute = tuple(self._timed(self._hash) for _ in range(_REPETITIONS))
        memory = tuple(self._timed(self._sum) for _ in range(_REPETITIONS))
        self._last_ns = now_ns()
        return ReferenceRecord(
            config=self._config,
            session=self._session,
            t0_ns=t0_ns,
            t1_ns=self._last_ns,
            threads=self._threads,
            compute_ns=compute,
            memory_ns=memory,
        )

    def _timed(self, work: Callable[[int], object]) -> int:
        t0_ns = now_ns()
        list(self._pool.map(work, range(self._threads)))
        return now_ns() - t0_ns

    def _hash(self, _thread: int) -> bytes:
        return hashlib.sha256(self._text).digest()

    def _sum(self, thread: int) -> int:
        return int(np.add.reduce(self._numbers[thread]))

    def __enter__(self) -> ReferenceLoad:
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True)
