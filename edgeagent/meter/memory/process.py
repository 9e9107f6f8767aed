"""Memory of a process, seen from outside it, and the memory that the system has left.

On Linux from `/proc` (`Documentation/filesystems/proc.rst`): `status` is cheap and read at every
tick; `smaps_rollup` walks all page tables, so it is read at most once a second and for at most
0.3 % of the time. Elsewhere psutil tells resident memory, and on Windows its peak too.

Weights that are mapped from a file show up as file-backed memory, which the system can drop;
prepacked weights, the KV cache and activations as anonymous memory, which it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from edgeagent.meter.protocol import Discovery
from edgeagent.meter.snapshot import EVERY_TICK, Pace, Snapshot, probe
from edgeagent.meter.tree import THIS_MACHINE, Reader, SystemTree, present
from edgeagent.record.samples import SampleKind, Scope, SourceInfo

_STATUS_FIELDS = {
    "process:rss": ("rss_bytes", ("VmRSS",)),
    "process:rss_peak": ("rss_peak_bytes", ("VmHWM",)),
    "process:rss_anon": ("rss_anon_bytes", ("RssAnon",)),
    "process:rss_file": ("rss_file_bytes", ("RssFile",)),
    "process:swap": ("swap_bytes", ("VmSwap",)),
}
_ROLLUP_FIELDS = {
    "process:pss": ("pss_bytes", ("Pss",)),
    "process:uss": ("uss_bytes", ("Private_Clean", "Private_Dirty")),
}
_SYSTEM_FIELDS = {
    "system:memory_available": ("memory_available_bytes", ("MemAvailable",)),
    "system:swap_free": ("swap_free_bytes", ("SwapFree",)),
}

_ROLLUP_PACE = Pace(interval_s=1.0, duty=0.003)
"""At 1 GB of resident memory one look costs about 20 ms, and it delays the process's own calls."""


def discover_process(pid: int, tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find what can be told about the memory of process `pid`, probing each value."""
    folder = tree.proc / str(pid)
    if not present(folder / "status"):
        return _discover_portable(pid)
    groups: tuple[tuple[Path, Pace, Scope, _Fields], ...] = (
        (folder / "status", EVERY_TICK, Scope.PROCESS, _STATUS_FIELDS),
        (folder / "smaps_rollup", _ROLLUP_PACE, Scope.PROCESS, _ROLLUP_FIELDS),
        (tree.proc / "meminfo", EVERY_TICK, Scope.SYSTEM, _SYSTEM_FIELDS),
    )
    return Discovery.union(
        _probe_all(Snapshot(_kib_table(path, tree.read)), pace, scope, fields, str(path))
        for path, pace, scope, fields in groups
    )


def own_memory(tree: SystemTree = THIS_MACHINE) -> Mapping[str, float]:
    """Return what `/proc/self/status` says about this process's memory, in bytes by its names.

    Raises:
        OSError: There is no such file.
    """
    return _kib_table(tree.proc / "self" / "status", tree.read)()


def reset_rss_peak(tree: SystemTree = THIS_MACHINE) -> bool:
    """Start the peak resident memory (VmHWM) of this process anew; False where that is impossible.

    Writes 5 to `/proc/self/clear_refs` (Linux `Documentation/filesystems/proc.rst`).
    """
    path = tree.proc / "self" / "clear_refs"
    if not present(path):
        return False
    try:
        path.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


_Fields = Mapping[str, tuple[str, tuple[str, ...]]]


def _discover_portable(pid: int) -> Discovery:
    """Use what psutil tells on every system."""

    def process_memory() -> Mapping[str, float]:
        memory = psutil.Process(pid).memory_info()
        values = {"VmRSS": float(memory.rss)}
        peak = getattr(memory, "peak_wset", None)  # Windows only
        if peak is not None:
            values["VmHWM"] = float(peak)
        return values

    def system_memory() -> Mapping[str, float]:
        return {
            "MemAvailable": float(psutil.virtual_memory().available),
            "SwapFree": float(psutil.swap_memory().free),
        }

    where = "what this system tells about a process"
    fields = {**_STATUS_FIELDS, **_ROLLUP_FIELDS}
    return Discovery.union(
        (
            _probe_all(Snapshot(process_memory), EVERY_TICK, Scope.PROCESS, fields, where),
            _probe_all(Snapshot(system_memory), EVERY_TICK, Scope.SYSTEM, _SYSTEM_FIELDS, where),
        )
    )


def _probe_all(
    snapshot: Snapshot, pace: Pace, scope: Scope, fields: _Fields, where: str
) -> Discovery:
    wanted = (
        (
            SourceInfo(
                source=source,
                quantity=quantity,
                kind=SampleKind.SAMPLED,
                scope=scope,
                resolution=1024.0,
            ),
            keys,
        )
        for source, (quantity, keys) in fields.items()
    )
    return probe(wanted, snapshot, pace, where)


def _kib_table(path: Path, read: Reader) -> Callable[[], Mapping[str, float]]:
    """Return a function that reads the lines `Name: value kB` of a file, values in bytes."""

    def take() -> Mapping[str, float]:
        values: dict[str, float] = {}
        for line in read(path).splitlines():
            words = line.split()
            if len(words) == 3 and words[2] == "kB" and words[1].isdigit():
                values[words[0].removesuffix(":")] = int(words[1]) * 1024.0
        return values

    return take
