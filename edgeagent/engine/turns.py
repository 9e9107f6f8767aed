"""Sessions of an engine that cannot run rows together: they take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from edgeagent.engine.prefill import common_prefix_len
from edgeagent.engine.protocol import DecodeParams, Session, ShouldStop, TokenEvent
from edgeagent.errors import EngineError


class TurnGroup:
    """Ordinary sessions behind the interface of a group; nothing is gained, and it says so.

    A cache cannot be copied from one session into another, so a fork runs the tokens that differ.
    """

    is_batched = False

    def __init__(self, open_session: Callable[[], Session], rows: int) -> None:
        """Open the sessions.

        Raises:
            EdgeAgentError: One cannot be opened; those that were are closed again.
        """
        self._sessions: list[Session] = []
        self._closed = False
        try:
            for _ in range(rows):
                self._sessions.append(open_session())
        except BaseException:
            self.close()
            raise

    @property
    def sessions(self) -> Sequence[Session]:
        """The rows."""
        return self._sessions

    def fork(self, source: int, target: int) -> None:
        """Make a row hold what another one holds; the tokens that differ are run again."""
        self._check_open()
        if source == target:
            return
        wanted, held = self._sessions[source].tokens, self._sessions[target].tokens
        length = common_prefix_len(wanted, held)
        self._sessions[target].rewind(length)
        self._sessions[target].append(wanted[length:])

    def decode(
        self, requests: Mapping[int, DecodeParams], *, should_stop: ShouldStop | None = None
    ) -> Iterator[tuple[int, TokenEvent | None]]:
        """Generate in one row after the other."""
        self._check_open()
        asked = _Latch(should_stop)
        streams = {
            row: self._sessions[row].decode(params, should_stop=asked)
            for row, params in requests.items()
        }
        return self._drive(streams, asked)

    def _drive(
        self, streams: Mapping[int, Iterator[TokenEvent]], asked: _Latch
    ) -> Iterator[tuple[int, TokenEvent | None]]:
        for row, stream in streams.items():
            for event in stream:
                yield row, event
            if not asked.stopped:
                yield row, None

    def close(self) -> None:
        """Free the caches."""
        self._closed = True
        for session in self._sessions:
            session.close()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("The group of sessions is closed.")


class _Latch:
    """A request to stop that, once heard, holds for the rows that have not had their turn."""

    def __init__(self, should_stop: ShouldStop | None) -> None:
        self._should_stop = should_stop
        self.stopped = False

    def __call__(self) -> bool:
        if not self.stopped and self._should_stop is not None:
            self.stopped = self._should_stop()
        return self.stopped
