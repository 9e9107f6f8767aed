"""Joules of a piece of work that another process does, read from here while it runs.

The engine holds its own process's interpreter, not this one's: reading the sensors a few times a
second from here is possible and costs all settings the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.errors import ConfigError
from edgeagent.meter.protocol import Discovery, Meter, MeterError
from edgeagent.record.energy import TotalKey, open_totals
from edgeagent.record.energy.totals import total_of
from edgeagent.record.samples import ReadFailure, Sample, SampleKind, SourceInfo, SourceState

_COUNTER_PERIOD_S = 1.0
"""Counters are read at the edges; in between only often enough to see them wrap."""
_POWER_PERIOD_S = 0.1
_CPU_TOTALS = frozenset({"wall", "system", "module", "cpu"})
"""Totals that contain what the processor's cores use; a graphics card's does not."""


class EnergyGauge:
    """Reads the sources of one total.

    Attributes:
        source: The total in words, for records.
    """

    def __init__(
        self,
        key: TotalKey,
        meters: Sequence[Meter],
        *,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """Read these meters, which are all the sources of one total."""
        self._key = key
        self._meters = meters
        self._clock = clock
        self._due_ns: dict[str, int] = {}
        self._samples: dict[str, list[Sample]] = defaultdict(list)
        self._failures: dict[str, list[ReadFailure]] = defaultdict(list)
        names = ", ".join(meter.info.source for meter in meters)
        self.source = f"{key.name} ({names}), idle power included"

    @classmethod
    def find(cls, discovery: Discovery, *, clock: Callable[[], int] = now_ns) -> EnergyGauge:
        """Choose the widest total that can be read.

        Raises:
            ConfigError: There is none.
        """
        groups: dict[TotalKey, list[SourceInfo]] = defaultdict(list)
        for info in discovery.sources:
            key = total_of(info)
            if key is not None and key.name in _CPU_TOTALS:
                groups[key].append(info)
        readable = {meter.info.source: meter for meter in discovery.meters}
        for key in sorted(groups, key=lambda key: key.rank):
            if all(
                info.state is SourceState.OK and info.source in readable for info in groups[key]
            ):
                return cls(key, [readable[info.source] for info in groups[key]], clock=clock)
        why = next(
            (
                f" ({info.source}: {info.reason.rstrip('.')})"
                for infos in groups.values()
                for info in infos
                if info.reason
            ),
            "",
        )
        raise ConfigError(
            "No sensor of this device measures the energy of the processor or of more"
            f"{why}, so there is no goal `energy`; `edgeagent doctor` says what is missing."
        )

    def begin(self) -> None:
        """Forget what lies before the work that begins now, and read once."""
        for samples in self._samples.values():
            del samples[:-1]
        self._failures.clear()
        self._read(self._meters)

    def poll(self) -> None:
        """Read what is due."""
        now = self._clock()
        self._read([m for m in self._meters if now >= self._due_ns.get(m.info.source, 0)])

    def end(self) -> None:
        """Read once more, after the work."""
        self._read(self._meters)

    def joules(self, t0_ns: int, t1_ns: int) -> float | None:
        """Return the energy of a window between `begin` and `end`.

        Returns:
            Joules; `None` if readings failed or are too coarse for a window of this length.
        """
        infos = [meter.info for meter in self._meters]
        for total in open_totals(infos, self._samples, self._failures):
            windows = total.windows(np.array([t0_ns]), np.array([t1_ns]))
            if windows.reason(0) is None:
                return windows.pool(0).energy_j
        return None

    def _read(self, meters: Sequence[Meter]) -> None:
        for meter in meters:
            info = meter.info
            at_ns = self._clock()
            try:
                self._samples[info.source].append(meter.read())
            except MeterError as error:
                self._failures[info.source].append(
                    ReadFailure(
                        source=info.source, t_ns=at_ns, state=error.state, reason=error.reason
                    )
                )
            self._due_ns[info.source] = at_ns + round(_period_s(meter) * NS_PER_S)


def _period_s(meter: Meter) -> float:
    period_s = _COUNTER_PERIOD_S if meter.info.kind is SampleKind.COUNTER else _POWER_PERIOD_S
    return max(period_s, meter.min_interval_s)
