"""Which interface reads the processor: the powercap files, or perf where they cannot be read."""

from __future__ import annotations

import re
from pathlib import Path

from edgeagent.meter.energy.perf_event import open_cpu_event
from edgeagent.meter.energy.perf_rapl import OpenCounter, discover_perf
from edgeagent.meter.energy.rapl import discover_rapl
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.samples import Scope, SourceInfo, SourceState

_SOCKET = re.compile(r"package-[0-9]+")


def discover_cpu(
    tree: SystemTree = THIS_MACHINE, open_counter: OpenCounter | None = None
) -> Discovery:
    """Find the energy counters of the processor's packages, each through one interface only.

    Both interfaces show the same counters, so a package that perf reads is taken out of the total
    under its other name.

    Args:
        tree: The system's files.
        open_counter: Opens a perf counter; default: the running kernel's, for its own files only.
    """
    rapl = discover_rapl(tree)
    if open_counter is None:
        if tree.root != Path("/"):
            return rapl  # the counters of this kernel are not those of another machine's tree
        open_counter = open_cpu_event
    states = {
        info.source.removeprefix("rapl:"): info.state
        for info in rapl.sources
        if info.scope is Scope.PACKAGE
    }
    if all(state is SourceState.OK for state in states.values()):
        return rapl

    def is_wanted(package: str) -> bool:
        """Whether powercap does not read this package, in whole or by its dies."""
        if package in states:
            return states[package] is not SourceState.OK
        return not any(
            state is SourceState.OK and _socket(name) == _socket(package)
            for name, state in states.items()
        )

    perf = discover_perf(tree, open_counter, is_wanted)
    read = {meter.info.source.removeprefix("perf:") for meter in perf.meters}
    return Discovery.union(
        (
            Discovery(rapl.meters, tuple(_unless_read(info, read) for info in rapl.sources)),
            perf,
        )
    )


def _socket(package: str) -> str:
    found = _SOCKET.match(package)
    return found.group() if found else package


def _unless_read(info: SourceInfo, read: set[str]) -> SourceInfo:
    """Take a package that perf reads out of the total, and say who reads it."""
    package = info.source.removeprefix("rapl:")
    if info.scope is not Scope.PACKAGE or info.state is SourceState.OK or not read:
        return info
    if package not in read and package != "package":
        return info
    readers = ", ".join(sorted(f"perf:{name}" for name in read if package in {name, "package"}))
    reason = f"{info.reason} It is read as {readers} instead."
    return info.model_copy(update={"total": None, "reason": reason, "remedy": ""})
