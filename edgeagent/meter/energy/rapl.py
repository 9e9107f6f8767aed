"""Energy counters of the processor package: Linux RAPL through the powercap interface.

Paths (Linux `Documentation/power/powercap/powercap.rst`): `/sys/class/powercap/<type>:P[:S]/` with
`name`, `energy_uj` and `max_energy_range_uj`. What a zone measures is told by its `name` only:

- `package-N` (`package-N-die-M`): cores, caches, integrated GPU, memory controller of one socket.
  The packages are the processor's energy and the only zones that may be added up.
- `psys`: the platform as far as its maker wired it, packages included; stands alone.
- `dram`: the memory of one socket, outside the package.
- `core`, `uncore`: parts of a package (on AMD `core` is one core only), so they are not read.

The same package often appears a second time under `intel-rapl-mmio`; the duplicate is dropped.
Since CVE-2020-8694 `energy_uj` is readable by root only unless the administrator allows more.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from edgeagent.clock import now_ns
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

_TOTALS = {Scope.PACKAGE: "cpu", Scope.SYSTEM: "system"}
"""Packages add up to the processor; the platform stands alone; memory rails are parts."""

_STILL_S = 0.02
"""Counters move about every millisecond; one that stands at zero for this long is not wired."""


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
    for zone in _zones(tree):
        described = _describe(zone, tree)
        if described is None or described[0] in meters:
            continue
        source, scope = described
        info, meter = _probe(zone, source, scope, tree)
        if meter is not None:
            meters[source] = meter
            sources[source] = info
        else:  # keep the first reason: the duplicate under another type rarely tells more
            sources.setdefault(source, info)
    if not any(source.startswith("rapl:package-") for source in sources):
        sources = {"rapl:package": _no_package(tree), **sources}
    return Discovery(tuple(meters.values()), tuple(sources.values()))


def _zones(tree: SystemTree) -> list[Path]:
    """Return the zones, those of the memory-mapped duplicate interface last."""
    try:
        found = list((tree.sys / "class" / "powercap").iterdir())
    except OSError:
        return []
    zones = [path for path in found if _ZONE.fullmatch(path.name)]
    return sorted(zones, key=lambda path: ("mmio" in path.name, path.name))


def _describe(zone: Path, tree: SystemTree) -> tuple[str, Scope] | None:
    """Return source name and scope of a zone, `None` for one that is part of another."""
    name = tree.text(zone / "name")
    if name is None:
        return None
    if name.startswith("package-"):
        return f"rapl:{name}", Scope.PACKAGE
    if name == "psys":
        return "rapl:psys", Scope.SYSTEM
    if name == "dram":
        parent = tree.text(zone.parent / zone.name.rpartition(":")[0] / "name") or ""
        return f"rapl:dram-{parent.removeprefix('package-') or '0'}", Scope.RAIL
    return None


def _probe(
    zone: Path, source: str, scope: Scope, tree: SystemTree
) -> tuple[SourceInfo, RaplMeter | None]:
    range_j = _range_j(zone, tree)
    info = SourceInfo(
        source=source,
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=scope,
        resolution=_resolution_j(range_j),
        counter_range=range_j,
        total=_TOTALS.get(scope),
        max_power_w=MAX_PACKAGE_POWER_W,
    )
    path = zone / "energy_uj"
    try:
        values_uj = [int(tree.read(path))]
        if values_uj == [0]:
            time.sleep(_STILL_S)
            values_uj.append(int(tree.read(path)))
    except OSError as error:
        state = state_of(error)
        remedy = _permission_remedy(path) if state is SourceState.PERMISSION else ""
        reason = f"{path} cannot be read: {error.strerror or error}."
        return _failed(info, state, reason, remedy), None
    except ValueError:
        return _failed(info, SourceState.UNSUPPORTED, f"{path} holds no number."), None
    if values_uj == [0, 0]:
        return _failed(info, SourceState.STALE, f"{path} stands still at zero."), None
    return info, RaplMeter(info, path, tree.read)


def _failed(info: SourceInfo, state: SourceState, reason: str, remedy: str = "") -> SourceInfo:
    return info.model_copy(update={"state": state, "reason": reason, "remedy": remedy})


def _range_j(zone: Path, tree: SystemTree) -> float | None:
    text = tree.text(zone / "max_energy_range_uj") or ""
    return int(text) * _J_PER_UJ if text.isascii() and text.isdigit() and int(text) > 0 else None


def _resolution_j(range_j: float | None) -> float | None:
    """Return the step of the counter, which the kernel does not tell but the range implies."""
    if range_j is None:
        return None
    step_j = range_j / _COUNTER_STEPS
    return step_j if 1e-6 <= step_j <= 1e-2 else None


def _permission_remedy(path: Path) -> str:
    rule = f"z {path.resolve()} 0440 root <your group> - -"
    return (
        f'Let a group read it: put the line "{rule}" into /etc/tmpfiles.d/edgeagent-rapl.conf and '
        "run `systemd-tmpfiles --create` as an administrator; edgeagent never asks for more rights."
    )


def _no_package(tree: SystemTree) -> SourceInfo:
    """Explain why there is no package counter at all."""
    reason, remedy = f"There is no RAPL package zone in {tree.sys / 'class' / 'powercap'}.", ""
    if virtual_machine(tree):
        reason += " This is a virtual machine: the hypervisor hides RAPL."
        remedy = "Measure on the bare device, or with an external power meter."
    elif re.search(r"GenuineIntel|AuthenticAMD", tree.text(tree.proc / "cpuinfo") or ""):
        remedy = "Load the kernel module intel_rapl_msr (it serves AMD processors too)."
    else:
        reason += " The processor's maker offers none."
    return SourceInfo(
        source="rapl:package",
        quantity="energy_j",
        kind=SampleKind.COUNTER,
        scope=Scope.PACKAGE,
        state=SourceState.ABSENT,
        reason=reason,
        remedy=remedy,
    )
