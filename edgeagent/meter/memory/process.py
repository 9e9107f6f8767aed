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

from edgeagent.clock import now_ns, to_seconds
from edgeagent.meter.protocol import Discovery, Meter, MeterError
from edgeagent.meter.tree import THIS_MACHINE, Reader, SystemTree, state_of
from edgeagent.record.samples import Sample, SampleKind, Scope, SourceInfo, SourceState

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

_SHARE_NS = 10_000_000
"""Sources of one file share a reading of it for at most this long."""

_ROLLUP_INTERVAL_S = 1.0
_ROLLUP_DUTY = 0.003
"""At 1 GB of resident memory one look costs about 20 ms, and it delays the process's own calls."""


class Snapshot:
    """One look at several values, shared by the meters that each take one of them.

    A meter never gets the same look twice, so every reading is taken after it was asked for or
    at most `_SHARE_NS` before, and it carries the time at which it was really taken.
    """

    def __init__(self, take: Callable[[], Mapping[str, float]]) -> None:
        """Wrap `take`, which returns values in bytes and raises `OSError` or `psutil.Error`."""
        self._take = take
        self._values: Mapping[str, float] = {}
        self._served: set[str] = set()
        self._t0_ns = self._t1_ns = -_SHARE_NS

    def sample(self, source: str, keys: tuple[str, ...]) -> Sample:
        """Return the sum of `keys`; raises what `take` raises, `KeyError` for a missing value."""
        if source in self._served or now_ns() - self._t1_ns > _SHARE_NS:
            self._t0_ns = now_ns()
            self._values = self._take()
            self._t1_ns = now_ns()
            self._served.clear()
        self._served.add(source)
        return Sample(
            source=source,
            t_ns=(self._t0_ns + self._t1_ns) // 2,
            width_ns=self.width_ns,
            value=sum(self._values[key] for key in keys),
        )

    @property
    def width_ns(self) -> int:
        """How long the last look took."""
        return self._t1_ns - self._t0_ns


class MemoryMeter:
    """One value of a snapshot, in bytes."""

    def __init__(self, info: SourceInfo, snapshot: Snapshot, keys: tuple[str, ...]) -> None:
        """Take the sum of `keys` out of `snapshot`."""
        self.info = info
        self._snapshot = snapshot
        self._keys = keys

    @property
    def min_interval_s(self) -> float:
        """Reads are cheap."""
        return 0.0

    def probe(self) -> Sample:
        """Read once; raises `OSError`, `psutil.Error` or `KeyError`."""
        return self._snapshot.sample(self.info.source, self._keys)

    def read(self) -> Sample:
        """Read once.

        Raises:
            MeterError: The process is gone, or the system did not tell this value this time.
        """
        try:
            return self.probe()
        except (OSError, KeyError, psutil.Error) as error:
            raise MeterError(f"{self.info.source}: {error}") from error


class SlowMemoryMeter(MemoryMeter):
    """A value whose cost grows with the process, so it is read more rarely then."""

    @property
    def min_interval_s(self) -> float:
        """One second, or as long as it takes for the reads to be 0.3 % of the time."""
        return max(_ROLLUP_INTERVAL_S, to_seconds(self._snapshot.width_ns) / _ROLLUP_DUTY)


def discover_process(pid: int, tree: SystemTree = THIS_MACHINE) -> Discovery:
    """Find what can be told about the memory of process `pid`, probing each value."""
    folder = tree.proc / str(pid)
    if not (folder / "status").exists():
        return _discover_portable(pid)
    groups: tuple[tuple[Path, type[MemoryMeter], Scope, _Fields], ...] = (
        (folder / "status", MemoryMeter, Scope.PROCESS, _STATUS_FIELDS),
        (folder / "smaps_rollup", SlowMemoryMeter, Scope.PROCESS, _ROLLUP_FIELDS),
        (tree.proc / "meminfo", MemoryMeter, Scope.SYSTEM, _SYSTEM_FIELDS),
    )
    return Discovery.union(
        _probe_all(Snapshot(_kib_table(path, tree.read)), meter, scope, fields, str(path))
        for path, meter, scope, fields in groups
    )


def reset_rss_peak(tree: SystemTree = THIS_MACHINE) -> bool:
    """Start the peak resident memory (VmHWM) of this process anew; False where that is impossible.

    Writes 5 to `/proc/self/clear_refs` (Linux `Documentation/filesystems/proc.rst`).
    """
    path = tree.proc / "self" / "clear_refs"
    if not path.exists():
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
            _probe_all(Snapshot(process_memory), MemoryMeter, Scope.PROCESS, fields, where),
            _probe_all(Snapshot(system_memory), MemoryMeter, Scope.SYSTEM, _SYSTEM_FIELDS, where),
        )
    )


def _probe_all(
    snapshot: Snapshot,
    meter_type: type[MemoryMeter],
    scope: Scope,
    fields: _Fields,
    where: str,
) -> Discovery:
    meters: list[Meter] = []
    sources: list[SourceInfo] = []
    for source, (quantity, keys) in fields.items():
        info = SourceInfo(
            source=source,
            quantity=quantity,
            kind=SampleKind.SAMPLED,
            scope=scope,
            resolution=1024.0,
        )
        meter = meter_type(info, snapshot, keys)
        state, reason = SourceState.OK, ""
        try:
            meter.probe()
        except OSError as error:
            state, reason = state_of(error), f"{where} cannot be read: {error.strerror or error}."
        except psutil.AccessDenied:
            state, reason = SourceState.PERMISSION, f"{where} is not readable for this user."
        except psutil.Error:
            state, reason = SourceState.ABSENT, "The process does not exist."
        except KeyError:
            state, reason = SourceState.UNSUPPORTED, f"{where} does not include it."
        if state is SourceState.OK:
            meters.append(meter)
        sources.append(info.model_copy(update={"state": state, "reason": reason}))
    return Discovery(tuple(meters), tuple(sources))


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
