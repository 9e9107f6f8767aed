"""Energy counters of the processor package through perf: the way to RAPL without a readable file.

`/sys/bus/event_source/devices/power/` describes the unit: its number in `type`, the event in
`events/energy-pkg` (with `.scale` and `.unit` beside it), and in `cpumask` one processor of each
package, on which the package's counter is opened. The kernel collects the hardware's 32 bits into
64, so the counter does not wrap.

Counting what other processes cause needs `kernel.perf_event_paranoid` at 0 or lower, or the
capability CAP_PERFMON. Sources: Linux `arch/x86/events/rapl.c`,
`Documentation/ABI/testing/sysfs-bus-event_source-devices-events`,
`Documentation/admin-guide/perf-security.rst`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgeagent.meter.energy.perf_event import open_cpu_event
from edgeagent.meter.energy.rapl import MAX_PACKAGE_POWER_W, UPDATE_S, counts_by_package
from edgeagent.meter.energy.reading import ValueMeter, describe, failed
from edgeagent.meter.host.attributes import number, number_or_none
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, state_of
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

_EVENT = "energy-pkg"
_TERM = re.compile(r"(?P<name>[a-z0-9_]+)(?:=(?P<value>0x[0-9a-f]+|[0-9]+))?")
_BITS = re.compile(r"config:(?P<low>[0-9]+)(?:-(?P<high>[0-9]+))?")
_CPUS = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*")
_MAX_CPUS = 8192

_MIN_INTERVAL_S = 0.02
"""A count begins when it is opened, so those of two processes have different origins and must not
be mixed. What has a minimum interval is read by the sampler alone, never at the edges of spans by
the measured process. A read also interrupts the processor that the counter is opened on."""

_STILL_S = 20 * UPDATE_S
"""A counter that does not move for this long is not wired. The count starts at zero when it is
opened, so a zero right behind the opening says nothing."""


class Counter(Protocol):
    """An open counter."""

    def read(self) -> int:
        """Return the count; raises `OSError` or `ValueError`."""
        ...


OpenCounter = Callable[[int, int, int], Counter]
"""Opens an event: number of the unit, configuration, processor; raises `OSError`."""


@dataclass(frozen=True, slots=True)
class _Event:
    pmu: int
    config: int
    joules_per_count: float


def discover_perf(
    tree: SystemTree = THIS_MACHINE,
    open_counter: OpenCounter = open_cpu_event,
) -> Discovery:
    """Find the package counters that perf offers and probe each by reading it until it moves.

    Args:
        tree: The system's files; counters are those of the running kernel, whatever the tree.
        open_counter: Opens a counter.
    """
    unit = tree.sys / "bus" / "event_source" / "devices" / "power"
    if tree.text(unit / "events" / _EVENT) is None:
        return Discovery((), ())
    try:
        event = _event(tree, unit)
        packages = _packages(tree, unit)
    except (OSError, ValueError) as error:
        text = describe(error) if isinstance(error, OSError) else str(error)
        reason = f"The description of perf's counter makes no sense: {text}."
        return Discovery((), (failed(_info("package"), SourceState.UNSUPPORTED, reason),))
    opened = [_open(package, event, cpu, tree, open_counter) for package, cpu in packages.items()]
    return _probe(opened)


def _info(package: str, joules_per_count: float | None = None) -> SourceInfo:
    return SourceInfo(
        source=f"perf:{package}",
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=Scope.PACKAGE,
        resolution=joules_per_count,
        total="cpu",
        interval_s=UPDATE_S,
        max_power_w=MAX_PACKAGE_POWER_W,
    )


def _event(tree: SystemTree, unit: Path) -> _Event:
    """Read how the event is opened and what one count is; raises `OSError` or `ValueError`."""
    pmu = number(tree, unit / "type")
    name = tree.read(unit / "events" / f"{_EVENT}.unit").strip()
    if name != "Joules":
        raise ValueError(f"the unit is {name[:20]!r} instead of Joules")
    scale = float(tree.read(unit / "events" / f"{_EVENT}.scale"))
    if not 1e-12 <= scale <= 1e-2:
        raise ValueError(f"one count is {scale:g} J")
    return _Event(pmu, _config(tree, unit), scale)


def _config(tree: SystemTree, unit: Path) -> int:
    """Put the event's terms, such as `event=0x02`, where the unit's `format` folder says."""
    config = 0
    for term in tree.read(unit / "events" / _EVENT).strip().split(","):
        parts = _TERM.fullmatch(term.strip())
        if parts is None:
            raise ValueError(f"the event is {term[:40]!r}")
        place = _BITS.fullmatch(tree.read(unit / "format" / parts["name"]).strip())
        if place is None:
            raise ValueError(f"the place of {parts['name']} is not in config")
        low, high = int(place["low"]), int(place["high"] or place["low"])
        value = int(parts["value"] or "1", 0)
        if not low <= high < 64 or value >> (high - low + 1):
            raise ValueError(f"{term} does not fit into bits {low} to {high}")
        config |= value << low
    return config


def _packages(tree: SystemTree, unit: Path) -> dict[str, int]:
    """Return a processor of each package, by the name that powercap has for the package."""
    text = tree.read(unit / "cpumask").strip()
    if not _CPUS.fullmatch(text):
        raise ValueError(f"cpumask is {text[:40]!r}")
    sockets: dict[int, dict[int, int]] = {}
    for cpu in _expand(text):
        topology = tree.sys / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology"
        socket = number(tree, topology / "physical_package_id")
        die = number_or_none(tree, topology / "die_id") or 0
        # Linux 6.10 and 6.11 name one processor of each die where all dies share one counter.
        sockets.setdefault(socket, {}).setdefault(0 if counts_by_package(tree) else die, cpu)
    return {
        f"package-{socket}" if len(dies) == 1 else f"package-{socket}-die-{die}": cpu
        for socket, dies in sorted(sockets.items())
        for die, cpu in sorted(dies.items())
    }


def _expand(cpus: str) -> Iterable[int]:
    count = 0
    for part in cpus.split(","):
        first, _, last = part.partition("-")
        for cpu in range(int(first), int(last or first) + 1):
            count += 1
            if count > _MAX_CPUS:
                raise ValueError("cpumask names too many processors")
            yield cpu


def _open(
    package: str, event: _Event, cpu: int, tree: SystemTree, open_counter: OpenCounter
) -> SourceInfo | ValueMeter:
    """Return a meter whose counter is open, or the source with the reason why it is not."""
    info = _info(package, event.joules_per_count)
    try:
        counter = open_counter(event.pmu, event.config, cpu)
    except OSError as error:
        state, remedy = state_of(error), ""
        reason = f"perf_event_open was refused: {error.strerror or error}"
        if state is SourceState.PERMISSION:
            level = tree.text(tree.proc / "sys" / "kernel" / "perf_event_paranoid")
            reason += f" (kernel.perf_event_paranoid is {level})" if level else ""
            remedy = (
                "As an administrator, `sysctl kernel.perf_event_paranoid=0`, or give the Python "
                "interpreter the capability: `setcap cap_perfmon=ep <path of python>`; a container "
                "needs it too (`--cap-add PERFMON`). edgeagent never asks for more rights."
            )
        return failed(info, state, f"{reason}.", remedy)
    return ValueMeter(info, lambda: counter.read() * event.joules_per_count, _MIN_INTERVAL_S)


def _probe(opened: list[SourceInfo | ValueMeter]) -> Discovery:
    """Read all counters until they move, waiting once for all of them."""
    meters: list[ValueMeter] = []
    sources: list[SourceInfo] = []
    deadline = time.monotonic() + _STILL_S
    for found in opened:
        if isinstance(found, SourceInfo):
            sources.append(found)
            continue
        try:
            while (value := found.take()) <= 0 and time.monotonic() < deadline:
                time.sleep(_STILL_S / 10)
        except (OSError, ValueError) as error:
            state = state_of(error) if isinstance(error, OSError) else SourceState.STALE
            reason = f"perf's counter cannot be read: {error}."
            sources.append(failed(found.info, state, reason))
            continue
        if value > 0:
            meters.append(found)
            sources.append(found.info)
        else:
            reason = "perf's counter stands still at zero."
            sources.append(failed(found.info, SourceState.STALE, reason))
    return Discovery(tuple(meters), tuple(sources))
