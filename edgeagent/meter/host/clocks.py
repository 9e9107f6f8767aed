"""Clock rates of the cores: how fast they run now, and how fast they are allowed to.

Linux tells both per policy, a group of cores that share a clock, in kHz
(`Documentation/admin-guide/pm/cpufreq.rst`). Cores that idle run slowly because they idle, so it is
the fastest core that shows whether a busy processor was slowed down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeagent.meter.host.attributes import number, number_or_none, system_of
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import ONCE_A_SECOND, Snapshot, missing, probe
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, matching
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

_HZ_PER_KHZ = 1000.0
_MEAN, _SLOWEST, _FASTEST = "cpu:frequency", "cpu:frequency_min", "cpu:frequency_max"
_LIMIT = "cpu:frequency_limit"

NOT_TOLD = {
    "darwin": "macOS does not tell programs how fast the cores run.",
    "win32": "Windows tells programs the nominal clock rate only, not how fast the cores run.",
}


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """What the clocks are allowed to do, each of the core that may go fastest.

    Attributes:
        limit_hz: Highest clock that is allowed now; heat can lower it.
        hardware_max_hz: Highest clock that the core is made for.
        locked: Whether lowest and highest clock are the same on every core.
    """

    limit_hz: float | None = None
    hardware_max_hz: float | None = None
    locked: bool | None = None


def policies(tree: SystemTree = THIS_MACHINE) -> list[Path]:
    """Return the folders of the groups of cores that share a clock, in order."""
    return matching(tree.sys / "devices" / "system" / "cpu" / "cpufreq", "policy*")


def discover_clocks(tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find the clock rates: mean, slowest and fastest core, and what the fastest may reach."""
    infos = [
        SourceInfo(
            source=name,
            quantity="frequency_hz",
            kind=SampleKind.SAMPLED,
            scope=Scope.PACKAGE,
            resolution=_HZ_PER_KHZ,
        )
        for name in (_MEAN, _SLOWEST, _FASTEST, _LIMIT)
    ]
    system, found = system_of(tree), policies(tree)
    if system != "linux":
        reason = NOT_TOLD.get(system, f"edgeagent cannot read clock rates on {system}.")
        return missing(infos, SourceState.UNSUPPORTED, reason)
    if not found:
        reason = "The kernel controls no clock rates here; a virtual machine's host hides them."
        return missing(infos, SourceState.ABSENT, reason)
    reader = _Clocks(tree, found)
    where = str(found[0].parent)
    return Discovery.union(
        (
            probe(
                ((i, (i.source,)) for i in infos[:3]), Snapshot(reader.now), ONCE_A_SECOND, where
            ),
            probe([(infos[3], (_LIMIT,))], Snapshot(reader.limit), ONCE_A_SECOND, where),
        )
    )


def clock_rates(tree: SystemTree = THIS_MACHINE) -> tuple[float, float, float] | None:
    """Return mean, slowest and fastest clock of the cores in Hz, `None` if that is not told."""
    try:
        now = _Clocks(tree, policies(tree)).now()
    except (OSError, ValueError):
        return None
    return now[_MEAN], now[_SLOWEST], now[_FASTEST]


def clock_limits(tree: SystemTree = THIS_MACHINE) -> ClockLimits:
    """Return what the clocks are allowed to do."""
    limits = [
        (number_or_none(tree, policy / "scaling_min_freq"), high)
        for policy in policies(tree)
        if (high := number_or_none(tree, policy / "scaling_max_freq")) is not None
    ]
    hardware = [
        high
        for policy in policies(tree)
        if (high := number_or_none(tree, policy / "cpuinfo_max_freq")) is not None
    ]
    return ClockLimits(
        limit_hz=max(high for _, high in limits) * _HZ_PER_KHZ if limits else None,
        hardware_max_hz=max(hardware) * _HZ_PER_KHZ if hardware else None,
        locked=all(low == high for low, high in limits) if limits else None,
    )


class _Clocks:
    """Reads all policies; those whose cores are switched off are left out."""

    def __init__(self, tree: SystemTree, found: list[Path]) -> None:
        self._tree = tree
        self._cores = {policy: _core_count(tree, policy) for policy in found}

    def now(self) -> Mapping[str, float]:
        """Return mean, slowest and fastest clock of a core."""
        rates = self._read("scaling_cur_freq")
        cores = sum(self._cores[policy] for policy in rates)
        return {
            _MEAN: sum(rate * self._cores[policy] for policy, rate in rates.items()) / cores,
            _SLOWEST: min(rates.values()),
            _FASTEST: max(rates.values()),
        }

    def limit(self) -> Mapping[str, float]:
        """Return the highest clock that any core may have now."""
        return {_LIMIT: max(self._read("scaling_max_freq").values())}

    def _read(self, name: str) -> dict[Path, float]:
        rates: dict[Path, float] = {}
        failure: OSError | ValueError = ValueError("there is no core")
        for policy in self._cores:
            try:
                rate = number(self._tree, policy / name)
            except (OSError, ValueError) as error:
                failure = error
                continue
            if rate > 0:  # 0 while the clock of a core is stopped
                rates[policy] = rate * _HZ_PER_KHZ
            else:
                failure = ValueError(f"{name} is {rate}")
        if not rates:
            raise failure
        return rates


def _core_count(tree: SystemTree, policy: Path) -> int:
    """Return how many cores share the policy; `affected_cpus` lists those that are online."""
    return len((tree.text(policy / "affected_cpus") or "").split()) or 1
