"""Totals: which sources are added to what, and which of several totals speaks for a device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgeagent.record.energy.counters import counter_curve
from edgeagent.record.energy.curve import EnergyCurve, unknown_windows
from edgeagent.record.energy.invalid import Invalid
from edgeagent.record.energy.power import power_curve
from edgeagent.record.energy.windows import Ints, Windows, add
from edgeagent.record.samples import (
    ReadFailure,
    Sample,
    SampleKind,
    Scope,
    SourceInfo,
    SourceState,
)

WIDEST_FIRST = ("wall", "system", "module", "cpu", "gpu")
"""What a total covers, from everything that is paid for to a part of it."""

ENERGY_QUANTITY, POWER_QUANTITY = "energy_j", "power_w"
ESTIMATE_QUANTITY = "power_estimate_w"


class TotalKey(NamedTuple):
    """Identity of a total.

    Two readers that offer the same total (a platform counter and a battery, both `system`) are
    alternatives: they stand side by side and are never added, and neither are scopes.
    """

    name: str
    scope: Scope
    reader: str

    @property
    def rank(self) -> tuple[int, str, str]:
        """Widest first, unknown names last."""
        known = self.name in WIDEST_FIRST
        width = WIDEST_FIRST.index(self.name) if known else len(WIDEST_FIRST)
        return width, self.name, self.reader


@dataclass(frozen=True)
class Total:
    """The sum of all sources of one total within one session.

    Attributes:
        key: Which total.
        sources: Its sources, in order of name.
        curves: Their curves; fewer than sources if one could not be read at all.
    """

    key: TotalKey
    sources: tuple[SourceInfo, ...]
    curves: tuple[EnergyCurve, ...]

    def windows(self, t0_ns: Ints, t1_ns: Ints) -> Windows:
        """Return the energy of windows; known only where every source is."""
        t0_ns, t1_ns = np.asarray(t0_ns, np.int64), np.asarray(t1_ns, np.int64)
        if len(self.curves) < len(self.sources):
            return unknown_windows(Invalid.UNREADABLE, t0_ns, t1_ns)
        return add([curve.windows(t0_ns, t1_ns) for curve in self.curves])

    def holes(self, t0_ns: int, t1_ns: int) -> list[tuple[Invalid, int]]:
        """Return reason and length in ns of every interval within a window that is not known."""
        return [hole for curve in self.curves for hole in curve.holes(t0_ns, t1_ns)]


def open_totals(
    sources: Iterable[SourceInfo],
    readings: Mapping[str, Sequence[Sample]],
    failures: Mapping[str, Sequence[ReadFailure]],
    edges_ns: Ints | None = None,
) -> tuple[Total, ...]:
    """Return every total of which at least one source gave readings, widest first.

    Args:
        sources: Every source that was tried, with its last state.
        readings: Readings per source.
        failures: Readings that failed, per source.
        edges_ns: Moments at which power may step: the edges of spans and of baselines.
    """
    groups: dict[TotalKey, list[SourceInfo]] = {}
    for info in sources:
        if (key := total_of(info)) is not None:
            groups.setdefault(key, []).append(info)
    return tuple(
        _open(key, tuple(sorted(group, key=lambda info: info.source)), readings, failures, edges_ns)
        for key, group in sorted(groups.items(), key=lambda item: item[0].rank)
        if any(readings.get(info.source) for info in group)
    )


def open_estimates(
    sources: Iterable[SourceInfo], readings: Mapping[str, Sequence[Sample]]
) -> tuple[EnergyCurve, ...]:
    """Return the curves of estimated power: its low and high bounds are sources of their own."""
    return tuple(
        power_curve(info, readings[info.source])
        for info in sources
        if is_estimate(info) and readings.get(info.source)
    )


def is_estimate(info: SourceInfo) -> bool:
    """Whether a source is an estimate of power, which is kept apart from everything measured."""
    return info.quantity == ESTIMATE_QUANTITY


def total_of(info: SourceInfo) -> TotalKey | None:
    """Return the total that a source is an addend of, `None` if it stands alone or is estimated.

    Runs from before sources named their total had one: the sum of the RAPL packages.
    """
    if info.kind is SampleKind.ESTIMATED:
        return None
    if info.quantity not in (ENERGY_QUANTITY, POWER_QUANTITY):
        return None
    if (info.quantity == ENERGY_QUANTITY) is not (info.kind is SampleKind.COUNTER):
        return None
    name = info.total
    if name is None and info.source.startswith("rapl:package-"):
        name = "cpu"
    if name is None:
        return None
    reader = info.source.partition(":")[0] if ":" in info.source else ""
    return TotalKey(name, info.scope, reader)


def _open(
    key: TotalKey,
    sources: tuple[SourceInfo, ...],
    readings: Mapping[str, Sequence[Sample]],
    failures: Mapping[str, Sequence[ReadFailure]],
    edges_ns: Ints | None,
) -> Total:
    curves = []
    for info in sources:
        samples, failed = readings.get(info.source, ()), failures.get(info.source, ())
        if not samples and info.state is not SourceState.OK:
            continue
        build = counter_curve if info.kind is SampleKind.COUNTER else power_curve
        curves.append(build(info, samples, failed, edges_ns))
    return Total(key, sources, tuple(curves))
