"""NVIDIA GPUs through NVML, the driver's management library (extra `nvidia`, `nvidia-ml-py`).

Energy: `nvmlDeviceGetTotalEnergyConsumption`, millijoules of the whole board since the driver was
loaded, from Volta on; it advances about every 100 ms. Older boards have power only
(`nvmlDeviceGetPowerUsage`, right to 5 %): an instantaneous value, or the mean of one second on
Ampere and later, where the power sensor covers as little as a quarter of the time. That is why the
counter is preferred wherever it exists. (NVML API Reference, Device Queries.)

On Jetson NVML initialises and says "not supported": the GPU is a part of the module, measured by
its own power monitor, and its memory is the system's. So no GPU memory is offered there.

NVML wakes a GPU that was powered down, as laptops do with their second one; while it is watched it
stays awake.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from edgeagent.meter.energy.reading import failed, offer
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import THIS_MACHINE, SystemTree, present
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

Nvml: TypeAlias = Any
"""The module `pynvml`, or what stands in for it."""

UPDATE_S = 0.1
"""Time between two steps of the energy counter; `scripts/verify_nvml.py` measures it."""

_SLOW_S = 1.0
_J_PER_MJ = 1e-3
_PEAK_FACTOR = 2.0
"""Boards exceed their power limit for milliseconds, by at most about this."""

_HELD_BACK = 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x200 | 0x400
"""Clock event reasons: power, board and reliability limits, heat, slowdowns; not idle or settings
(`nvmlClocksEventReasons`)."""

_STATES = {
    3: SourceState.UNSUPPORTED,  # NVML_ERROR_NOT_SUPPORTED
    4: SourceState.PERMISSION,  # NVML_ERROR_NO_PERMISSION
    6: SourceState.ABSENT,  # NVML_ERROR_NOT_FOUND
    9: SourceState.ABSENT,  # NVML_ERROR_DRIVER_NOT_LOADED
    12: SourceState.UNSUPPORTED,  # NVML_ERROR_LIBRARY_NOT_FOUND
    13: SourceState.UNSUPPORTED,  # NVML_ERROR_FUNCTION_NOT_FOUND
    15: SourceState.ABSENT,  # NVML_ERROR_GPU_IS_LOST
    16: SourceState.STALE,  # NVML_ERROR_RESET_REQUIRED
}
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""Linux `include/linux/proc_ns.h`, PROC_PID_INIT_INO; in it every process has its real number."""

_INSTALL = 'Install it: pip install "edgeagent[nvidia]".'
_IN_CONTAINER = "In a container, make the driver's `utility` capability available to it."
_ON_JETSON = (
    "On a Jetson the GPU is a part of the module: its energy is in the module's power monitor, and "
    "its memory is the system's."
)


def discover_nvml(pid: int, tree: SystemTree = THIS_MACHINE, nvml: Nvml = None) -> Discovery:
    """Find NVIDIA GPUs and probe each of their sources by reading a value.

    Args:
        pid: The process whose GPU memory is of interest.
        tree: The system's files, which tell whether there is a driver.
        nvml: What stands in for the module `pynvml`; by default it is imported if there is a
            driver.
    """
    jetson = "nvidia,tegra" in (tree.text(tree.proc / "device-tree" / "compatible") or "")
    if nvml is None:
        nvml = _library(tree, jetson=jetson)
        if isinstance(nvml, Discovery):
            return nvml
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
        gpus = [_Gpu(nvml, index, pid, tree, jetson=jetson) for index in range(count)]
    except nvml.NVMLError as error:
        return _nothing(_state(error), f"NVML does not start: {error}.", _IN_CONTAINER)
    if not gpus:
        return _nothing(SourceState.ABSENT, "The NVIDIA driver shows no GPU.", _IN_CONTAINER)
    return Discovery.union(part for gpu in gpus for part in gpu.discover())


def _library(tree: SystemTree, *, jetson: bool) -> Nvml:
    """Return the module `pynvml`, or a `Discovery` that says why there is none to ask."""
    if jetson:
        return _nothing(SourceState.UNSUPPORTED, _ON_JETSON)
    if not _driver_present(tree):
        return Discovery((), ())
    if tree.root != THIS_MACHINE.root:
        reason = "NVML is a library of the running system; files of another one cannot tell."
        return _nothing(SourceState.UNSUPPORTED, reason)
    try:
        import pynvml
    except ImportError:
        reason = "There is an NVIDIA driver, but the Python package nvidia-ml-py is missing."
        return _nothing(SourceState.UNSUPPORTED, reason, _INSTALL)
    return pynvml


def _driver_present(tree: SystemTree) -> bool:
    root = tree.root
    if root == THIS_MACHINE.root and sys.platform == "win32":
        return shutil.which("nvidia-smi") is not None
    marks = (
        tree.proc / "driver" / "nvidia" / "version",
        root / "dev" / "nvidiactl",  # containers may lack the file above
        root / "usr" / "lib" / "wsl" / "lib" / "libnvidia-ml.so.1",  # Windows Subsystem for Linux
    )
    return any(present(mark) for mark in marks)


class _Gpu:
    """The sources of one board."""

    def __init__(self, nvml: Nvml, index: int, pid: int, tree: SystemTree, *, jetson: bool) -> None:
        self._nvml = nvml
        self._index = index
        self._pid = pid
        self._tree = tree
        self._jetson = jetson
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def discover(self) -> Iterator[Discovery]:
        """Yield what each source offers."""
        yield self._energy()
        if self._jetson:
            return
        yield self._memory()
        yield self._process_memory()
        slow = (
            ("temperature", "temperature_c", 1.0, self._temperature_c),
            ("clock", "frequency_hz", 1e6, self._frequency_hz),
            ("throttle", "throttle_state", 1.0, self._throttle_state),
        )
        for name, quantity, resolution, take in slow:
            yield self._offered(
                self._info(name, quantity, Scope.MODULE, resolution), take, min_interval_s=_SLOW_S
            )

    def _offered(
        self, info: SourceInfo, take: Callable[[], float], *, min_interval_s: float
    ) -> Discovery:
        remedy = "Ask the administrator for access to the GPU's counters."
        return offer(
            info, take, min_interval_s=min_interval_s, remedies={SourceState.PERMISSION: remedy}
        )

    def _energy(self) -> Discovery:
        """Prefer the counter, else power."""
        limit_w = self._limit_w()
        counter = self._info("gpu", "energy_j", Scope.MODULE, _J_PER_MJ).model_copy(
            update={
                "kind": SampleKind.COUNTER,
                "total": "gpu",
                "interval_s": UPDATE_S,
                "max_power_w": None if limit_w is None else _PEAK_FACTOR * limit_w,
            }
        )
        found = self._offered(counter, self._probe_counter, min_interval_s=UPDATE_S)
        if found.meters:
            return self._offered(counter, self._energy_j, min_interval_s=UPDATE_S)
        power = counter.model_copy(update={"kind": SampleKind.SAMPLED, "quantity": "power_w"})
        sampled = self._offered(power, self._power_w, min_interval_s=UPDATE_S)
        if sampled.meters or not self._jetson:
            return sampled if sampled.meters else found
        return Discovery((), (failed(counter, SourceState.UNSUPPORTED, _ON_JETSON),))

    def _memory(self) -> Discovery:
        info = self._info("memory_used", "gpu_memory_used_bytes", Scope.SYSTEM, 1.0)
        return self._offered(info, self._memory_used_bytes, min_interval_s=UPDATE_S)

    def _process_memory(self) -> Discovery:
        info = self._info("memory", "gpu_memory_bytes", Scope.PROCESS, 1.0)
        return self._offered(info, self._process_memory_bytes, min_interval_s=UPDATE_S)

    def _info(self, name: str, quantity: str, scope: Scope, resolution: float) -> SourceInfo:
        return SourceInfo(
            source=f"nvml:{name}-{self._index}",
            quantity=quantity,
            kind=SampleKind.SAMPLED,
            scope=scope,
            resolution=resolution,
        )

    def _call(self, function: str, *arguments: Any) -> Any:
        """Call NVML for this board; raises `MeterError`."""
        try:
            return getattr(self._nvml, function)(self._handle, *arguments)
        except self._nvml.NVMLError as error:
            raise MeterError(f"{function}: {error}.", _state(error)) from error
        except AttributeError as error:  # an older nvidia-ml-py
            reason = f"The installed nvidia-ml-py has no {function}."
            raise MeterError(reason, SourceState.UNSUPPORTED) from error

    def _energy_j(self) -> float:
        return float(self._call("nvmlDeviceGetTotalEnergyConsumption")) * _J_PER_MJ

    def _probe_counter(self) -> float:
        """Read the counter; a fresh one stands at zero until it moves for the first time."""
        value_j = self._energy_j()
        if value_j == 0.0:
            time.sleep(2 * UPDATE_S)
            value_j = self._energy_j()
            if value_j == 0.0:
                raise MeterError("The energy counter stands still at zero.")
        return value_j

    def _power_w(self) -> float:
        return float(self._call("nvmlDeviceGetPowerUsage")) * 1e-3

    def _limit_w(self) -> float | None:
        try:
            return float(self._call("nvmlDeviceGetEnforcedPowerLimit")) * 1e-3 or None
        except MeterError:
            return None

    def _memory_used_bytes(self) -> float:
        return float(self._call("nvmlDeviceGetMemoryInfo").used)

    def _process_memory_bytes(self) -> float:
        """Return what the process has on this board; none is a zero only where all are listed."""
        listed = self._call("nvmlDeviceGetComputeRunningProcesses")
        own = [entry.usedGpuMemory for entry in listed if entry.pid == self._pid]
        if None in own:
            reason = "The driver does not tell the memory of a process (Windows does not let it)."
            raise MeterError(reason, SourceState.UNSUPPORTED)
        if not own and not _processes_have_their_number(self._tree):
            reason = (
                "The driver does not list the process: it uses no GPU memory, or a container gives "
                "it another number than the driver sees."
            )
            raise MeterError(reason, SourceState.ABSENT)
        return float(sum(own))

    def _temperature_c(self) -> float:
        return float(
            self._call("nvmlDeviceGetTemperature", getattr(self._nvml, "NVML_TEMPERATURE_GPU", 0))
        )

    def _frequency_hz(self) -> float:
        clock = getattr(self._nvml, "NVML_CLOCK_SM", 1)
        return float(self._call("nvmlDeviceGetClockInfo", clock)) * 1e6

    def _throttle_state(self) -> float:
        """Return the reasons that hold clocks back now as a bit mask, 0 for none."""
        return float(int(self._call("nvmlDeviceGetCurrentClocksThrottleReasons")) & _HELD_BACK)


def _state(error: Any) -> SourceState:
    return _STATES.get(getattr(error, "value", -1), SourceState.STALE)


def _processes_have_their_number(tree: SystemTree) -> bool:
    """Whether this process runs outside of containers, so that the driver sees it as we do."""
    try:
        return str(Path(tree.proc / "self" / "ns" / "pid").readlink()) == _FIRST_PID_NAMESPACE
    except OSError:
        return False


def _nothing(state: SourceState, reason: str, remedy: str = "") -> Discovery:
    info = SourceInfo(
        source="nvml:gpu", quantity="energy_j", kind=SampleKind.COUNTER, scope=Scope.MODULE
    )
    return Discovery((), (failed(info, state, reason, remedy),))
