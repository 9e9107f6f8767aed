"""One look at several values, such as the lines of a file, shared by the meters that take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import psutil

from edgeagent.clock import now_ns, to_seconds
from edgeagent.meter.protocol import Discovery, Meter, MeterError
from edgeagent.meter.tree import state_of
from edgeagent.record.samples import Sample, SourceInfo, SourceState

_SHARE_NS = 10_000_000
"""Sources of one look share it for at most this long."""

Take = Callable[[], Mapping[str, float]]
"""Looks once; raises `OSError`, `psutil.Error`, or `ValueError` for nonsense."""


class Snapshot:
    """One look at several values, shared by the meters that each take one of them.

    A meter never gets the same look twice, so every reading is taken after it was asked for or
    at most `_SHARE_NS` before, and it carries the time at which it was really taken.
    """

    def __init__(self, take: Take) -> None:
        """Wrap `take`, which returns values in the units of their sources."""
        self._take = take
        self._values: Mapping[str, float] = {}
        self._served: set[str] = set()
        self._t0_ns = self._t1_ns = -_SHARE_NS

    def sample(self, source: str, keys: tuple[str, ...]) -> Sample:
        """Return the sum of `keys`; raises what `take` raises, `KeyError` for a missing value."""
        if source in self._served or now_ns() - self._t1_ns > _SHARE_NS:
            self._t0_ns = now_ns()
            self._values = {}  # a look that fails must not leave the one before to others
            self._values = self._take()
            self._t1_ns = now_ns()
            self._served.clear()
        self._served.add(source)
        return Sample(
            source=source,
            t_ns=(self._t0_ns + self._t1_ns) // 2,
            width_ns=self.width_ns,
            value=sum(self._values[key] for key in keys),
        )

    @property
    def width_ns(self) -> int:
        """How long the last look took."""
        return self._t1_ns - self._t0_ns


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a value is worth reading.

    Attributes:
        interval_s: Shortest time between two reads.
        duty: Largest share of the time that reads may take; slow reads become rare ones.
    """

    interval_s: float = 0.0
    duty: float = 1.0

    def min_interval_s(self, width_ns: int) -> float:
        """Return the time between two reads of which the last one took `width_ns`."""
        return max(self.interval_s, to_seconds(width_ns) / self.duty)


EVERY_TICK = Pace()
ONCE_A_SECOND = Pace(interval_s=1.0, duty=0.0005)
"""For what changes slowly; seven groups of sources at this duty stay below half a percent."""


class SnapshotMeter:
    """The sum of some values of a snapshot."""

    def __init__(
        self, info: SourceInfo, snapshot: Snapshot, keys: tuple[str, ...], pace: Pace = EVERY_TICK
    ) -> None:
        """Take the sum of `keys` out of `snapshot`, as often as `pace` allows."""
        self.info = info
        self._snapshot = snapshot
        self._keys = keys
        self._pace = pace

    @property
    def min_interval_s(self) -> float:
        """By the pace and by how long the last look took."""
        if self._pace is EVERY_TICK:
            return 0.0
        return self._pace.min_interval_s(self._snapshot.width_ns)

    def probe(self) -> Sample:
        """Read once; raises what the snapshot's function raises, or `KeyError`."""
        return self._snapshot.sample(self.info.source, self._keys)

    def read(self) -> Sample:
        """Read once.

        Raises:
            MeterError: The system did not tell this value this time.
        """
        try:
            return self.probe()
        except OSError as error:
            reason = f"{self.info.source}: {error.strerror or error}"
            raise MeterError(reason, state_of(error)) from error
        except (KeyError, ValueError, psutil.Error) as error:
            raise MeterError(f"{self.info.source}: {error}") from error


def probe(
    wanted: Iterable[tuple[SourceInfo, tuple[str, ...]]],
    snapshot: Snapshot,
    pace: Pace,
    where: str,
) -> Discovery:
    """Make a meter of every source that gives a value, and say why the others do not.

    Args:
        wanted: Each source with the keys of the snapshot that make up its value.
        snapshot: Where the values come from.
        pace: How often they are worth reading.
        where: What is read, for the reasons.
    """
    meters: list[Meter] = []
    sources: list[SourceInfo] = []
    for info, keys in wanted:
        meter = SnapshotMeter(info, snapshot, keys, pace)
        state, reason = _try(meter, where)
        if state is SourceState.OK:
            meters.append(meter)
        sources.append(info.model_copy(update={"state": state, "reason": reason}))
    return Discovery(tuple(meters), tuple(sources))


def missing(infos: Iterable[SourceInfo], state: SourceState, reason: str) -> Discovery:
    """List sources that this machine has not."""
    return Discovery(
        (), tuple(info.model_copy(update={"state": state, "reason": reason}) for info in infos)
    )


def _try(meter: SnapshotMeter, where: str) -> tuple[SourceState, str]:
    try:
        meter.probe()
    except OSError as error:
        return state_of(error), f"{where} cannot be read: {error.strerror or error}."
    except psutil.AccessDenied:
        return SourceState.PERMISSION, f"{where} is not readable for this user."
    except psutil.Error:
        return SourceState.ABSENT, "The process does not exist."
    except KeyError:
        return SourceState.UNSUPPORTED, f"{where} does not include it."
    except ValueError as error:
        return SourceState.UNSUPPORTED, f"{where} does not make sense: {error}."
    return SourceState.OK, ""
