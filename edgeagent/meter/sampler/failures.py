"""Failed readings: told when they begin and now and then while they last, never at every tick."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeagent.clock import NS_PER_S
from edgeagent.record.samples import ReadFailure, SourceInfo, SourceState

REPEAT_NS = 10 * NS_PER_S
"""A failure that lasts is recorded this often: enough to see in a file that it lasted."""

_MAX_REASON_CHARS = 300


@dataclass(slots=True)
class _Outage:
    """What is known about a source that fails at present."""

    state: SourceState
    reason: str
    told_ns: int


class FailureLog:
    """Remembers which sources fail, and decides which failures are worth a record.

    One record between two readings is enough to keep anybody from bridging them; a record for each
    of a thousand failed attempts would only fill the disk.
    """

    def __init__(self) -> None:
        """Nothing fails yet."""
        self._outages: dict[str, _Outage] = {}
        self._told: dict[str, SourceState] | None = None
        self.failed = 0

    def fail(self, source: str, t_ns: int, state: SourceState, reason: str) -> ReadFailure | None:
        """Note a failed reading; return the record to write, `None` if there is nothing new.

        A failure is new if the source worked before, if its state is another one, or if the last
        record of it is `REPEAT_NS` old.
        """
        self.failed += 1
        reason = reason[:_MAX_REASON_CHARS]
        known = self._outages.get(source)
        is_new = known is None or known.state is not state or t_ns - known.told_ns >= REPEAT_NS
        if not is_new:
            return None
        self._outages[source] = _Outage(state, reason, t_ns)
        return ReadFailure(source=source, t_ns=t_ns, state=state, reason=reason)

    def succeed(self, source: str) -> None:
        """Note that a source gave a value."""
        if self._outages:
            self._outages.pop(source, None)

    def news(self, sources: Iterable[SourceInfo]) -> tuple[SourceInfo, ...]:
        """Return those of `sources` whose state is not the one that this returned last.

        The first call returns them all; those that fail at present carry state and reason of that.
        """
        now = {source: outage.state for source, outage in self._outages.items()}
        if now == self._told:
            return ()
        told, self._told = self._told, now
        return tuple(
            self._described(info)
            for info in sources
            if told is None or told.get(info.source) is not now.get(info.source)
        )

    def _described(self, info: SourceInfo) -> SourceInfo:
        outage = self._outages.get(info.source)
        if outage is None:
            return info
        return info.model_copy(update={"state": outage.state, "reason": outage.reason})
