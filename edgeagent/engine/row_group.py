"""Rows that decode together: which are run in one run of the model, and where they lie.

- Rows that hold the same tokens are run once, and the new keys and values copied: samples of one
  prompt cost one row until they differ.
- A run takes one token of each row. A row with several to be run, as after forced tokens, is run
  by itself, except for short ones: up to `_JOINED_LEN` tokens cost less in the runs of the others.
- Rows that run together must be neighbours in the pool. Those in between that have come to their
  end are exchanged with rows from outside: that costs less than running one of them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgeagent.engine.protocol import DecodeParams, ShouldStop, TokenEvent
from edgeagent.engine.rows import Row, RowRuntime
from edgeagent.errors import EngineError

_JOINED_LEN = 2
"""Measured with 4 rows of two models on 2 cores: a run of 3 tokens costs what 3 rows more cost."""


class RowGroup:
    """Rows of one pool."""

    is_batched = True

    def __init__(self, runtime: RowRuntime, rows: int, max_context_len: int) -> None:
        """Allocate the caches.

        Raises:
            EngineError: The adapter cannot be used.
        """
        self._graph = runtime.graph
        self._pool = runtime.graph.new_pool(rows, max_context_len, runtime.adapter_file)
        self._closed = False
        self._rows = [Row(runtime, self._pool, slot, max_context_len) for slot in range(rows)]

    @property
    def sessions(self) -> Sequence[Row]:
        """The rows."""
        return self._rows

    def fork(self, source: int, target: int) -> None:
        """Make a row hold what another one holds."""
        self._check_open()
        if source != target:
            self._rows[target].copy_of(self._rows[source])

    def decode(
        self, requests: Mapping[int, DecodeParams], *, should_stop: ShouldStop | None = None
    ) -> Iterator[tuple[int, TokenEvent | None]]:
        """Generate in these rows."""
        self._check_open()
        steps = {index: self._rows[index].steps(params) for index, params in requests.items()}
        return self._drive(steps, should_stop)

    def _drive(
        self, steps: Mapping[int, Iterator[TokenEvent | None]], should_stop: ShouldStop | None
    ) -> Iterator[tuple[int, TokenEvent | None]]:
        ready = list(steps)
        waiting: list[int] = []
        while ready or waiting:
            for index in ready:
                for event in steps[index]:
                    if event is None:
                        waiting.append(index)
                        break
                    yield index, event
                else:
                    yield index, None
            if not waiting or (should_stop is not None and should_stop()):
                return
            self._step([self._rows[index] for index in waiting])
            ready = [index for index in waiting if self._rows[index].logits is not None]
            waiting = [index for index in waiting if self._rows[index].logits is None]

    def _step(self, waiting: Sequence[Row]) -> None:
        """Bring these rows nearer to their logits."""
        self._check_open()
        alike: dict[tuple[int, ...], list[Row]] = {}
        for row in waiting:
            alike.setdefault(tuple(row.tokens), []).append(row)
        for rows in alike.values():
            rows.sort(key=lambda row: (row.cached_len, row.logits is not None), reverse=True)
        leaders = [rows[0] for rows in alike.values()]
        joined = [row for row in leaders if 0 < row.pending_len <= _JOINED_LEN]
        if len(joined) > 1:
            self._run_together(joined)
        else:
            joined = []
        for row in leaders:
            if row not in joined:
                row.next_logits()
        for leader, *others in alike.values():
            for row in others:
                row.copy_of(leader)

    def _run_together(self, rows: Sequence[Row]) -> None:
        """Run one token of each; those that have one more to be run stay without logits."""
        first = self._gather(rows)
        rows = sorted(rows, key=lambda row: row.slot)
        new = np.asarray([[row.tokens[row.cached_len]] for row in rows], dtype=np.int64)
        logits = self._graph.run(self._pool, first, new, [row.cached_len + 1 for row in rows])
        for row, values in zip(rows, logits, strict=True):
            row.cached_len += 1
            row.logits = values if row.pending_len == 0 else None

    def _gather(self, rows: Sequence[Row]) -> int:
        """Make rows neighbours in the pool, with as few exchanges as possible; return the first."""
        slots = {row.slot for row in rows}
        starts = range(len(self._rows) - len(rows) + 1)
        first = max(starts, key=lambda at: sum(at <= slot < at + len(rows) for slot in slots))
        wanted = range(first, first + len(rows))
        holes = [row for row in self._rows if row.slot in wanted and row.slot not in slots]
        for row in [row for row in rows if row.slot not in wanted]:
            row.exchange_slot(holes.pop())
        return first

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("The group of sessions is closed.")

    def close(self) -> None:
        """Free the caches."""
        self._closed = True
        for row in self._rows:
            row.close()
        self._pool.free()
