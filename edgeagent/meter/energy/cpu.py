"""Which interface reads the processor: the powercap files, or perf where they cannot be read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edgeagent.meter.energy.perf_event import open_cpu_event
from edgeagent.meter.energy.perf_rapl import OpenCounter, discover_perf
from edgeagent.meter.energy.rapl import RaplMeter, discover_rapl
from edgeagent.meter.protocol import Discovery, Meter
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.samples import Scope, SourceInfo, SourceState

_SOCKET = re.compile(r"package-[0-9]+")


def discover_cpu(
    tree: SystemTree = THIS_MACHINE, open_counter: OpenCounter | None = None
) -> Discovery:
    """Find the energy counters of the processor's packages, all through the same interface.

    Both interfaces show the same counters. Where powercap lets some of them or none be read, and
    perf all, the processor is what perf says; under their other name the packages then stand alone.

    Args:
        tree: The system's files.
        open_counter: Opens a perf counter; default: the running kernel's, for its own files only.
    """
    rapl = discover_rapl(tree)
    if all(info.state is SourceState.OK for info in _packages(rapl.sources)):
        return rapl
    if open_counter is None:
        if tree.root != Path("/"):
            return rapl  # the counters of this kernel are not those of another machine's tree
        open_counter = open_cpu_event
    perf = discover_perf(tree, open_counter)
    if not _covers(perf, rapl):
        return Discovery.union((rapl, perf))
    readers = ", ".join(info.source for info in perf.sources)
    return Discovery.union(
        (
            Discovery(
                tuple(_alone(meter) for meter in rapl.meters),
                tuple(_read_elsewhere(info, readers) for info in rapl.sources),
            ),
            perf,
        )
    )


def _packages(sources: Iterable[SourceInfo]) -> tuple[SourceInfo, ...]:
    return tuple(info for info in sources if info.scope is Scope.PACKAGE)


def _sockets(sources: Iterable[SourceInfo]) -> set[str]:
    """Return the sockets (`package-0`) that sources are of, whether in whole or by their dies."""
    names = (_SOCKET.search(info.source) for info in _packages(sources))
    return {name.group() for name in names if name}


def _covers(perf: Discovery, rapl: Discovery) -> bool:
    """Whether perf reads all that it offers, and no socket less than powercap shows."""
    all_read = all(info.state is SourceState.OK for info in perf.sources)
    return bool(perf.meters) and all_read and _sockets(rapl.sources) <= _sockets(perf.sources)


def _alone(meter: Meter) -> Meter:
    if meter.info.scope is not Scope.PACKAGE or not isinstance(meter, RaplMeter):
        return meter
    return replace(meter, info=meter.info.model_copy(update={"total": None}))


def _read_elsewhere(info: SourceInfo, readers: str) -> SourceInfo:
    if info.scope is not Scope.PACKAGE:
        return info
    alone = info.model_copy(update={"total": None})
    if info.state is SourceState.OK:
        return alone
    reason = f"{info.reason} The processor is read as {readers} instead."
    return alone.model_copy(update={"reason": reason, "remedy": ""})
