"""Energy counters of the processor package: Linux RAPL through the powercap interface.

Paths (Linux `Documentation/power/powercap/powercap.rst`): `/sys/class/powercap/<type>:P[:S]/` with
`name`, `energy_uj` and `max_energy_range_uj`. What a zone measures is told by its `name` only:

- `package-N`: cores, caches, integrated GPU, memory controller of one socket. The packages are the
  processor's energy and the only zones that may be added up.
- `package-N-die-M`: the same of one die. On Intel each die has a counter of its own; on AMD and
  Hygon the counter is the package's, and Linux 6.10 and 6.11 showed it once for each die.
- `psys`, `psys-N`: the platform as far as its maker wired it, packages included; stands alone.
- `dram`: the memory of one socket, outside the package.
- `core`, `uncore`: parts of a package (on AMD `core` is one core only), so they are not read.

The same package often appears a second time under `intel-rapl-mmio`; it serves only where the first
cannot be read. The numbers in names of folders are hexadecimal and mean nothing.
Since CVE-2020-8694 `energy_uj` is readable by root only unless the administrator allows more.

Sources beside powercap.rst: `drivers/powercap/intel_rapl_common.c` for the names of zones and for
which makers count by package (`rapl_msrs_are_pkg_scope`).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

from edgeagent.clock import now_ns
from edgeagent.meter.energy.reading import failed, group_read_remedy
from edgeagent.meter.host.virtual import virtual_machine
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import THIS_MACHINE, Reader, SystemTree, read_text, state_of
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo, SourceState

_J_PER_UJ = 1e-6
_ZONE = re.compile(r"(?P<type>[a-z-]*rapl[a-z-]*):(?P<zone>[0-9a-f]+)(?::[0-9a-f]+)?")
_COUNTER_STEPS = (1 << 32) - 1
"""The counter is a 32-bit register (Intel SDM vol. 3B, MSR_PKG_ENERGY_STATUS; AMD alike)."""

MAX_PACKAGE_POWER_W = 1000.0
"""No processor package draws more; bounds how much energy can hide between two readings."""

_MAX_POWER_W = {Scope.PACKAGE: MAX_PACKAGE_POWER_W, Scope.SYSTEM: 4000.0}
_TOTALS = {Scope.PACKAGE: "cpu", Scope.SYSTEM: "system"}
"""Packages add up to the processor; the platform stands alone; memory rails are parts."""

_DIE = re.compile(r"-die-[0-9]+$")
_PSYS = re.compile(r"psys(-[0-9]+)?")
_MAKERS = re.compile(r"GenuineIntel|AuthenticAMD|HygonGenuine")
_PACKAGE_COUNTERS = re.compile(r"^vendor_id\s*:\s*(AuthenticAMD|HygonGenuine)$", re.MULTILINE)

UPDATE_S = 1e-3
"""Counters move about every millisecond (Intel SDM vol. 3B, "RAPL Interfaces"; for AMD, Linux
`Documentation/hwmon/amd_energy.rst`)."""

_STILL_S = 20 * UPDATE_S
"""A counter that stands at zero for this long is not wired."""


@dataclass(frozen=True, slots=True)
class RaplMeter:
    """The counter of one zone, in joules since an arbitrary origin, wrapping at its range."""

    info: SourceInfo
    path: Path
    read_file: Reader = read_text
    min_interval_s: float = 0.0

    def read(self) -> Sample:
        """Read the counter once.

        Raises:
            MeterError: The kernel gave no value this time.
        """
        t0_ns = now_ns()
        try:
            value_uj = int(self.read_file(self.path))
        except OSError as error:
            raise MeterError(f"{self.path}: {error.strerror or error}", state_of(error)) from error
        except ValueError as error:
            raise MeterError(f"{self.path} holds no number") from error
        t1_ns = now_ns()
        if value_uj < 0:
            raise MeterError(f"{self.path} holds a negative number")
        return Sample(
            source=self.info.source,
            t_ns=(t0_ns + t1_ns) // 2,
            width_ns=t1_ns - t0_ns,
            value=value_uj * _J_PER_UJ,
        )


def discover_rapl(tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find the counters and probe each by reading a value."""
    meters: dict[str, RaplMeter] = {}
    sources: dict[str, SourceInfo] = {}
    zones, hindrance = _zones(tree)
    by_package = counts_by_package(tree)
    for zone in _nameless(zones, tree):
        info = _info(f"rapl:{zone.name}", Scope.PACKAGE)
        reason = f"{zone / 'name'} cannot be read, so nobody knows whether it is a package."
        sources[info.source] = failed(info, SourceState.STALE, reason)
    for zone in zones:
        described = _describe(zone, tree, by_package=by_package)
        if described is None or described[0] in meters:
            continue
        source, scope = described
        info, meter = _probe(zone, source, scope, tree)
        if meter is not None:
            meters[source] = meter
            sources[source] = info
        else:  # keep the first reason: the duplicate under another type rarely tells more
            sources.setdefault(source, info)
    _leave_ambiguous_platforms_alone(sources, meters)
    if not any(source.startswith("rapl:package-") for source in sources):
        sources = {"rapl:package": _no_package(tree, zones, hindrance), **sources}
    return Discovery(tuple(meters.values()), tuple(sources.values()))


def _nameless(zones: list[Path], tree: SystemTree) -> list[Path]:
    """Return outer zones that do not say what they are while others do.

    One of them may be the package of another socket: without it, the sum would look complete.
    """
    outer = [zone for zone in zones if zone.name.count(":") == 1 and "mmio" not in zone.name]
    nameless = [zone for zone in outer if not _name(zone, tree)]
    return nameless if len(nameless) < len(outer) else []


def counts_by_package(tree: SystemTree) -> bool:
    """Tell whether all dies of a package share one counter, so that only one may be read."""
    return _PACKAGE_COUNTERS.search(tree.text(tree.proc / "cpuinfo") or "") is not None


def _zones(tree: SystemTree) -> tuple[list[Path], OSError | None]:
    """Return the zones, those of the memory-mapped duplicate interface last."""
    try:
        found = list((tree.sys / "class" / "powercap").iterdir())
    except FileNotFoundError:
        return [], None
    except OSError as error:
        return [], error
    zones = [path for path in found if _ZONE.fullmatch(path.name)]
    return sorted(zones, key=lambda path: ("mmio" in path.name, path.name)), None


def _describe(zone: Path, tree: SystemTree, *, by_package: bool) -> tuple[str, Scope] | None:
    """Return source name and scope of a zone, `None` for one that is part of another."""
    name = _name(zone, tree)
    if name.startswith("package-"):
        return f"rapl:{_DIE.sub('', name) if by_package else name}", Scope.PACKAGE
    if _PSYS.fullmatch(name):
        return f"rapl:{name}", Scope.SYSTEM
    if name == "dram":
        parent = _name(zone.parent / zone.name.rpartition(":")[0], tree)
        parent = _DIE.sub("", parent) if by_package else parent
        return f"rapl:dram-{parent.removeprefix('package-') or '0'}", Scope.RAIL
    return None


def _name(zone: Path, tree: SystemTree) -> str:
    return tree.text(zone / "name") or ""


def _leave_ambiguous_platforms_alone(
    sources: dict[str, SourceInfo], meters: dict[str, RaplMeter]
) -> None:
    """Take `psys` out of the total if there are several: whether they add up is not documented."""
    platforms = [name for name, info in sources.items() if info.scope is Scope.SYSTEM]
    if len(platforms) < 2:
        return
    for name in platforms:
        sources[name] = sources[name].model_copy(update={"total": None})
        if name in meters:
            meters[name] = replace(meters[name], info=sources[name])


def _probe(
    zone: Path, source: str, scope: Scope, tree: SystemTree
) -> tuple[SourceInfo, RaplMeter | None]:
    info = _info(source, scope, _range_j(zone, tree))
    path = zone / "energy_uj"
    try:
        values_uj = [int(tree.read(path))]
        if values_uj == [0]:
            time.sleep(_STILL_S)
            values_uj.append(int(tree.read(path)))
    except OSError as error:
        state = state_of(error)
        remedy = group_read_remedy(path) if state is SourceState.PERMISSION else ""
        reason = f"{path} cannot be read: {error.strerror or error}."
        return failed(info, state, reason, remedy), None
    except ValueError:
        return failed(info, SourceState.UNSUPPORTED, f"{path} holds no number."), None
    if values_uj == [0, 0]:
        return failed(info, SourceState.STALE, f"{path} stands still at zero."), None
    return info, RaplMeter(info, path, tree.read)


def _info(source: str, scope: Scope, range_j: float | None = None) -> SourceInfo:
    return SourceInfo(
        source=source,
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=scope,
        resolution=_resolution_j(range_j),
        counter_range=range_j,
        total=_TOTALS.get(scope),
        interval_s=UPDATE_S,
        max_power_w=_MAX_POWER_W.get(scope, MAX_PACKAGE_POWER_W),
    )


def _range_j(zone: Path, tree: SystemTree) -> float | None:
    text = tree.text(zone / "max_energy_range_uj") or ""
    return int(text) * _J_PER_UJ if text.isascii() and text.isdigit() and int(text) > 0 else None


def _resolution_j(range_j: float | None) -> float | None:
    """Return the step of the counter, which the kernel does not tell but the range implies."""
    if range_j is None:
        return None
    step_j = range_j / _COUNTER_STEPS
    return step_j if 1e-6 <= step_j <= 1e-2 else None


def _no_package(tree: SystemTree, zones: list[Path], hindrance: OSError | None) -> SourceInfo:
    """Explain why there is no package counter at all."""
    folder = tree.sys / "class" / "powercap"
    state, remedy = SourceState.ABSENT, ""
    if hindrance is not None:
        state = state_of(hindrance)
        reason = f"{folder} cannot be listed: {hindrance.strerror or hindrance}."
    elif zones and not any(_name(zone, tree) for zone in zones):
        reason = f"The zones in {folder} cannot be looked into; runtimes of containers hide them."
        remedy = "Measure outside of the container."
    else:
        reason = f"There is no RAPL package zone in {folder}."
        if virtual_machine(tree):
            reason += " This is a virtual machine: the hypervisor hides RAPL."
            remedy = "Measure on the bare device, or with an external power meter."
        elif not re.search(
            r"GenuineIntel|AuthenticAMD|HygonGenuine", tree.text(tree.proc / "cpuinfo") or ""
        ):
            reason += " The processor's maker offers none."
        elif not zones:
            remedy = "Load the kernel module intel_rapl_msr (it serves AMD processors too)."
    info = _info("rapl:package", Scope.PACKAGE).model_copy(update={"total": None})
    return failed(info, state, reason, remedy)
