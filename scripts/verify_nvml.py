"""Check the readings of an NVIDIA GPU against each other: energy counter, power, idle and load.

Run on a machine with an NVIDIA GPU, Python 3.11+, `nvidia-ml-py`, and the base packages of
edgeagent::

    python3 -m pip install nvidia-ml-py psutil pydantic
    python3 scripts/verify_nvml.py

It lets the GPU rest, loads it, and lets it rest again, and compares in each part what the energy
counter gained with the integral of the sampled power; prints how often the counter moves, what a
reading costs, and what the board draws; and exits with 1 if the two disagree under load by more
than `--tolerance`. The load is a small kernel in PTX that the driver compiles (`libcuda`), so no
CUDA toolkit is needed; where the driver library is missing, only idle is compared. The last line is
the result as JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edgeagent.meter.energy.nvml import discover_nvml
from edgeagent.meter.protocol import Meter
from edgeagent.record.samples import Sample, SampleKind

PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry burn(.param .u64 result, .param .u32 rounds)
{
    .reg .pred %more;
    .reg .f32 %a, %b, %c, %d, %ka, %kb, %kc, %kd;
    .reg .u32 %i, %n, %t;
    .reg .u64 %to, %offset;
    ld.param.u64 %to, [result];
    ld.param.u32 %n, [rounds];
    mov.u32 %t, %tid.x;
    cvt.rn.f32.u32 %a, %t;
    mul.f32 %a, %a, 0f3B800000;
    mov.f32 %b, %a;
    mov.f32 %c, %a;
    mov.f32 %d, %a;
    mov.f32 %ka, 0fBFF33333;
    mov.f32 %kb, 0fBFECCCCD;
    mov.f32 %kc, 0fBFF9999A;
    mov.f32 %kd, 0fBFE66666;
    mov.u32 %i, 0;
LOOP:
    fma.rn.f32 %a, %a, %a, %ka;
    fma.rn.f32 %b, %b, %b, %kb;
    fma.rn.f32 %c, %c, %c, %kc;
    fma.rn.f32 %d, %d, %d, %kd;
    fma.rn.f32 %a, %a, %a, %ka;
    fma.rn.f32 %b, %b, %b, %kb;
    fma.rn.f32 %c, %c, %c, %kc;
    fma.rn.f32 %d, %d, %d, %kd;
    add.u32 %i, %i, 1;
    setp.lt.u32 %more, %i, %n;
    @%more bra LOOP;
    add.f32 %a, %a, %b;
    add.f32 %c, %c, %d;
    add.f32 %a, %a, %c;
    mul.wide.u32 %offset, %t, 4;
    add.u64 %to, %to, %offset;
    st.global.f32 [%to], %a;
    ret;
}
\0"""
"""Four chaotic maps x -> x * x - k in registers: the multipliers work on bits that keep changing,
which takes the power of real work, and the values stay between -2 and 2."""

THREADS, BLOCKS, ROUNDS = 256, 4096, 20_000


class Cuda:
    """The driver's own interface, just enough to run one kernel."""

    def __init__(self, index: int) -> None:
        """Make a context on a GPU and compile the kernel; raises `OSError`."""
        name = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
        self._library = ctypes.CDLL(name)
        self._call("cuInit", 0)
        device, self._context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), index)
        self._call("cuCtxCreate_v2", ctypes.byref(self._context), 0, device)
        module, self._kernel = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), PTX)
        self._call("cuModuleGetFunction", ctypes.byref(self._kernel), module, b"burn")
        self._memory = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(self._memory), ctypes.c_size_t(4 * THREADS))

    def burn(self) -> None:
        """Run the kernel once and wait for its end."""
        rounds = ctypes.c_uint32(ROUNDS)
        arguments = (ctypes.c_void_p * 2)(ctypes.addressof(self._memory), ctypes.addressof(rounds))
        shape = (BLOCKS, 1, 1, THREADS, 1, 1, 0)
        self._call("cuLaunchKernel", self._kernel, *shape, None, arguments, None)
        self._call("cuCtxSynchronize")

    def use_here(self) -> None:
        """Make the context that of the calling thread."""
        self._call("cuCtxSetCurrent", self._context)

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            raise OSError(f"{name} failed with error {code}")


@dataclass(frozen=True)
class Part:
    """What was read while the GPU rested or worked.

    Attributes:
        name: Which part.
        length_s: Between the first and the last step of the counter.
        counter_j: What the counter gained between them.
        power_j: Integral of the sampled power over the same time.
        mean_w: Mean power by the counter.
        ratio: `counter_j / power_j`.
        step_s: Median time between two steps of the counter.
        read_us: Median time that a reading of the counter takes.
    """

    name: str
    length_s: float
    counter_j: float
    power_j: float
    mean_w: float
    ratio: float
    step_s: float
    read_us: float


@contextmanager
def load(cuda: Cuda | None) -> Iterator[None]:
    """Keep the GPU busy while the block runs."""
    stop = threading.Event()
    problems: list[BaseException] = []

    def work() -> None:
        assert cuda is not None
        try:
            cuda.use_here()
            while not stop.is_set():
                cuda.burn()
        except OSError as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    if cuda is not None:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if cuda is not None:
            thread.join()
    if problems:
        raise problems[0]


def measure(name: str, counter: Meter, power: Callable[[], float], seconds: float) -> Part:
    """Read the counter and the power in turn, every few milliseconds."""
    energy: list[Sample] = []
    powers: list[tuple[int, float]] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        energy.append(counter.read())
        before_ns = time.perf_counter_ns()
        watts = power()
        powers.append(((before_ns + time.perf_counter_ns()) // 2, watts))
        time.sleep(0.004)
    steps = [after for before, after in pairwise(energy) if after.value != before.value]
    if len(steps) < 3:
        raise SystemExit(f"{name}: the counter moved {len(steps)} times in {seconds} s; too few")
    first, last = steps[0], steps[-1]
    power_j = integral_j(powers, first.t_ns, last.t_ns)
    length_s = (last.t_ns - first.t_ns) * 1e-9
    counter_j = last.value - first.value
    return Part(
        name=name,
        length_s=length_s,
        counter_j=counter_j,
        power_j=power_j,
        mean_w=counter_j / length_s,
        ratio=counter_j / power_j,
        step_s=median((after.t_ns - before.t_ns) * 1e-9 for before, after in pairwise(steps)),
        read_us=median(sample.width_ns for sample in energy) * 1e-3,
    )


def integral_j(powers: list[tuple[int, float]], t0_ns: int, t1_ns: int) -> float:
    """Return the trapezoid over readings of power within a window."""
    inside = [(t_ns, watts) for t_ns, watts in powers if t0_ns <= t_ns <= t1_ns]
    total = sum(
        (a_w + b_w) / 2 * (b_ns - a_ns) * 1e-9 for (a_ns, a_w), (b_ns, b_w) in pairwise(inside)
    )
    covered_s = (inside[-1][0] - inside[0][0]) * 1e-9
    return total * ((t1_ns - t0_ns) * 1e-9) / covered_s


def find_counter(index: int) -> Meter:
    """Return the counter of a GPU, or say what is there instead."""
    found = discover_nvml(os.getpid())
    for source in found.sources:
        print(f"{source.source:24} {source.quantity:22} {source.state.value:12} {source.reason}")
    for meter in found.meters:
        info = meter.info
        if info.source == f"nvml:gpu-{index}" and info.kind is SampleKind.COUNTER:
            return meter
    raise SystemExit(f"GPU {index} has no energy counter to compare with.")


def main() -> int:
    """Compare, print a table and the result as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gpu", type=int, default=0, help="index of the GPU")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each part")
    parser.add_argument("--tolerance", type=float, default=0.05, help="allowed under load")
    options = parser.parse_args()
    counter = find_counter(options.gpu)
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(options.gpu)
    print(f"{pynvml.nvmlDeviceGetName(handle)}, driver {pynvml.nvmlSystemGetDriverVersion()}")

    def power_w() -> float:
        return float(pynvml.nvmlDeviceGetPowerUsage(handle)) * 1e-3

    parts = [measure("idle before", counter, power_w, options.seconds)]
    try:
        cuda = Cuda(options.gpu)
    except (OSError, AttributeError) as error:
        print(f"no load: {error}")
    else:
        with load(cuda):
            time.sleep(2.0)  # the power sensor may average over a second
            parts.append(measure("load", counter, power_w, options.seconds))
        time.sleep(3.0)
        parts.append(measure("idle after, with context", counter, power_w, options.seconds))
    for part in parts:
        print(
            f"{part.name:24} {part.length_s:6.2f} s  counter {part.counter_j:9.2f} J  power "
            f"{part.power_j:9.2f} J  ratio {part.ratio:.4f}  mean {part.mean_w:7.2f} W  step "
            f"{part.step_s * 1000:6.1f} ms  read {part.read_us:7.1f} us"
        )
    loaded = [part for part in parts if part.name == "load"]
    agree = all(abs(part.ratio - 1) <= options.tolerance for part in loaded)
    print(json.dumps({"loaded": bool(loaded), "agree": agree, "parts": [asdict(p) for p in parts]}))
    return 0 if agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
