"""Processor time that others use: other processes on this machine, and other machines on its host.

Three counters of one look, in seconds of one core: `cpu:time` is everything that passed on all
cores, idle included; `cpu:other_load` what processes outside the measured tree used; `cpu:steal`
what the hypervisor gave to other machines. A quotient of two gains over any time window is the
share of the machine that others had.

Linux: `/proc/stat` and `/proc/PID/stat` (`Documentation/filesystems/proc.rst`); elsewhere psutil.
The kernel may count a process exactly and the whole machine by ticks, so the share of others is
uncertain by a few percent of the own load, and a step back is shown as standing still.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

import psutil

from edgeagent.meter.host.attributes import system_of
from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import Pace, Snapshot, probe
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.samples import SampleKind, Scope, SourceInfo

TIME, OTHER, STEAL = "cpu:time", "cpu:other_load", "cpu:steal"

_TICKS_PER_S = 100.0
"""USER_HZ, the unit of these files, is 100 on every architecture that the runtime exists for."""

_STAT_FIELDS = 8
"""user, nice, system, idle, iowait, irq, softirq, steal; guests' time is inside user and nice."""

_PACE = Pace(interval_s=1.0, duty=0.001)


class Load(Protocol):
    """Reads the three counters."""

    def read(self) -> Mapping[str, float]:
        """Return the counters in core seconds; raises `OSError`, `ValueError`, `psutil.Error`."""
        ...


def discover_load(pid: int, tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find the processor time that is used outside process `pid` and its descendants."""
    wanted = [
        (
            SourceInfo(
                source=name,
                quantity="cpu_s",
                kind=SampleKind.COUNTER,
                scope=Scope.SYSTEM,
                resolution=1 / _TICKS_PER_S,
            ),
            (name,),
        )
        for name in (TIME, OTHER, STEAL)
    ]
    where = str(tree.proc / "stat") if system_of(tree) == "linux" else "what this system tells"
    return probe(wanted, Snapshot(open_load(pid, tree).read), _PACE, where)


def open_load(pid: int, tree: SystemTree = THIS_MACHINE) -> Load:
    """Return a reader for the process and its descendants."""
    return LinuxLoad(pid, tree) if system_of(tree) == "linux" else PortableLoad(pid)


def shares(first: Mapping[str, float], last: Mapping[str, float]) -> dict[str, float]:
    """Return the shares of all processor time that `OTHER` and `STEAL` had between two looks."""
    passed = last.get(TIME, 0.0) - first.get(TIME, 0.0)
    if passed <= 0:
        return {}
    return {
        name: min(1.0, max(0.0, last[name] - first[name]) / passed)
        for name in (OTHER, STEAL)
        if name in first and name in last
    }


class LinuxLoad:
    """From `/proc`; a process is looked up once for its parent, so that a look stays cheap."""

    def __init__(self, pid: int, tree: SystemTree) -> None:
        """Look at `pid` and whatever descends from it."""
        self._root = pid
        self._tree = tree
        self._known: dict[int, bool] = {}
        """Every process seen at the last look, and whether it is one of ours."""
        self._other_s = 0.0

    def read(self) -> Mapping[str, float]:
        """Return the counters; the shares of ended descendants are in their parents' counts."""
        whole = self._machine()
        own_ticks = sum(self._own_ticks())
        busy = whole["user"] + whole["nice"] + whole["system"] + whole["irq"] + whole["softirq"]
        self._other_s = max(self._other_s, (busy - own_ticks) / _TICKS_PER_S)
        return {
            TIME: sum(whole.values()) / _TICKS_PER_S,
            OTHER: self._other_s,
            STEAL: whole["steal"] / _TICKS_PER_S,
        }

    def _machine(self) -> dict[str, int]:
        text = self._tree.read(self._tree.proc / "stat")
        words = text.split("\n", 1)[0].split()
        if words[:1] != ["cpu"] or len(words) <= _STAT_FIELDS:
            raise ValueError("its first line is not the sum over all cores")
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        return {name: int(word) for name, word in zip(names, words[1:], strict=False)}

    def _own_ticks(self) -> list[int]:
        """Return user and system time, waited-for children included, of each of our processes."""
        alive = {int(name) for name in os.listdir(self._tree.proc) if name.isdigit()}  # noqa: PTH208 - a tenth of the cost
        if self._root not in alive:
            raise ProcessLookupError(f"process {self._root} has ended")
        stats: dict[int, list[str]] = {}
        parents: dict[int, int] = {}
        for pid in alive - self._known.keys():
            if (fields := self._stat(pid)) is not None:
                stats[pid], parents[pid] = fields, int(fields[1])
        known = {pid: ours for pid, ours in self._known.items() if pid in alive}
        for pid in parents:
            known[pid] = self._is_ours(pid, parents, known)
        self._known = known
        own = [pid for pid, ours in known.items() if ours]
        found = (stats.get(pid) or self._stat(pid) for pid in own)
        return [sum(int(ticks) for ticks in fields[11:15]) for fields in found if fields]

    def _is_ours(self, pid: int, parents: Mapping[int, int], known: Mapping[int, bool]) -> bool:
        seen: set[int] = set()
        while pid != self._root:
            if pid in known:
                return known[pid]
            if pid in seen or pid not in parents:
                return False
            seen.add(pid)
            pid = parents[pid]
        return True

    def _stat(self, pid: int) -> list[str] | None:
        """Return the fields behind the name, state first; `None` if the process has ended."""
        text = self._tree.text(self._tree.proc / str(pid) / "stat")
        fields = text.rpartition(")")[2].split() if text else []
        if len(fields) < 15 or not all(word.lstrip("-").isdigit() for word in fields[1:15]):
            return None
        return fields


class PortableLoad:
    """From psutil, which tells no steal time and loses the time of descendants that ended."""

    def __init__(self, pid: int) -> None:
        """Look at `pid` and whatever descends from it."""
        self._pid = pid
        self._last_s: dict[tuple[int, float], float] = {}
        """Processor time of each descendant ever seen, by process number and start."""
        self._other_s = 0.0

    def read(self) -> Mapping[str, float]:
        """Return the counters."""
        root = psutil.Process(self._pid)
        whole = psutil.cpu_times()
        for process in (root, *root.children(recursive=True)):
            try:
                times = process.cpu_times()
                self._last_s[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue  # it has just ended; what it used before stays
        busy_s = whole.user + whole.system + getattr(whole, "nice", 0.0)
        self._other_s = max(self._other_s, busy_s - sum(self._last_s.values()))
        return {TIME: busy_s + whole.idle, OTHER: self._other_s}
