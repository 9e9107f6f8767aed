"""Measure what the sampler costs: processor time, and wall time of the program it watches.

    .venv/bin/python scripts/measure_sampler_overhead.py [--package DIR] [--pairs N] [--json]

Work of known size is run again and again, with and without the sampler, taking turns at going
first. Workloads: a loop on one core, the same on every core (which leaves no idle core for the
sampler), and decoding with the default model if it is exported. Each is sampled as a profile does;
the loop also on a synthetic tree with the sources of several machines at once, played back as
files: what a slow bus costs is not in there.

Wall time: geometric mean of the ratios with / without, one per pair, with the 95 % bootstrap
interval over pairs. Processor time: all of the sampler's over all of its wall time, with the
interval over runs. A verdict needs the whole interval on one side of 1 %. Close other programs
first: the interval widens with their noise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeagent.meter.sampler.job import SamplerSummary
    from edgeagent.record.run import RunConfig

LIMIT = 0.01
"""What is promised: less than 1 % of one core, and of the run's wall time."""

RESAMPLES = 5000
_SETTLE_S = 0.3
"""Before every run, so that what started the sampler is over."""

_BLOCK = b"x" * (1 << 20)
"""Hashing a block of this size lets go of the interpreter lock, so threads run side by side."""

_PROMPT = (
    "<|im_start|>user\nTell a long story about a lighthouse.<|im_end|>\n<|im_start|>assistant\n"
)
_CONTEXT_LEN = 256
_NEW_TOKENS = 160


@dataclass(frozen=True)
class Result:
    """Overhead with one workload.

    Attributes:
        workload: Its name.
        pairs: Runs with and without the sampler.
        run_s: Median wall time of a run without it.
        cpu_share: Processor time of the sampler as share of one core, with its interval.
        cpu_verdict: Whether that is below the limit.
        wall_ratio: Wall time with / without, with its interval.
        wall_verdict: Whether that is below one plus the limit.
        cpu_ratio: Processor time of the measured program with / without, with its interval: hardly
            moved by other programs, but blind to waiting.
        samples_per_s: Readings that the sampler took.
        sources: Sources that it read.
        stretch: Largest factor by which it lengthened its intervals to stay cheap.
        largest_gap_s: Longest time between two readings of a source that is read every interval.
    """

    workload: str
    pairs: int
    run_s: float
    cpu_share: tuple[float, float, float]
    cpu_verdict: str
    wall_ratio: tuple[float, float, float]
    wall_verdict: str
    cpu_ratio: tuple[float, float, float]
    samples_per_s: float
    sources: int
    stretch: float
    largest_gap_s: float


def spin(blocks: int) -> None:
    """Hash a fixed amount of data."""
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(_BLOCK)


def spin_everywhere(blocks: int) -> None:
    """Hash the same amount on every usable core; done when the slowest is."""
    threads = [threading.Thread(target=spin, args=(blocks,)) for _ in range(usable())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def usable() -> int:
    """Cores that this process may use."""
    from edgeagent.config.cores import usable_cores

    return usable_cores()


def sized(work: Callable[[int], None], target_s: float) -> Callable[[], None]:
    """Return `work` with the size that takes about `target_s`."""
    work(8)
    began = time.perf_counter()
    work(32)
    size = max(1, round(32 * target_s / (time.perf_counter() - began)))
    return lambda: work(size)


@contextmanager
def decoding(package: Path, target_s: float) -> Iterator[Callable[[], None]]:
    """Return work that prefills and decodes the same tokens with a package."""
    from edgeagent.engine.protocol import DecodeParams
    from edgeagent.profiling.workbench import load_engine

    engine = load_engine(package)
    try:
        session = engine.open(_CONTEXT_LEN)
        ids = engine.encode(_PROMPT)

        def answer(times: int) -> None:
            for _ in range(times):
                session.rewind(0)
                session.append(ids)
                for _ in session.decode(DecodeParams(max_new_tokens=_NEW_TOKENS)):
                    pass

        answer(1)
        began = time.perf_counter()
        answer(1)
        times = max(1, round(target_s / (time.perf_counter() - began)))
        yield lambda: answer(times)
        session.close()
    finally:
        engine.close()


def interval(
    values: Sequence[object], statistic: Callable[[Sequence[int]], float]
) -> tuple[float, float, float]:
    """Return a statistic of indices into `values` with its 95 % bootstrap interval."""
    dice = random.Random(0)
    everything = range(len(values))
    found = sorted(statistic(dice.choices(everything, k=len(values))) for _ in range(RESAMPLES))
    low, high = found[round(0.025 * RESAMPLES)], found[round(0.975 * RESAMPLES) - 1]
    return statistic(everything), low, high


def ratio(with_s: Sequence[float], without_s: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean of the pairs' ratios with its interval."""
    logs = [math.log(a / b) for a, b in zip(with_s, without_s, strict=True)]
    return interval(logs, lambda chosen: math.exp(statistics.fmean(logs[i] for i in chosen)))


def verdict(low: float, high: float, limit: float) -> str:
    """Say on which side of the limit an interval lies."""
    if high < limit:
        return "< 1 %"
    return ">= 1 %" if low >= limit else "not distinguishable"


class Bench:
    """Runs pairs and keeps what the samplers told."""

    def __init__(self, folder: Path, config: RunConfig, pairs: int) -> None:
        """Write samples below `folder`."""
        self._folder = folder
        self._config = config
        self._pairs = pairs
        self._number = 0

    def measure(self, name: str, work: Callable[[], None], root: Path | None = None) -> Result:
        """Run `work` with and without the sampler, in turns."""
        sampled_runs, without, summaries, sources = [], [], [], 0
        for pair in range(self._pairs):
            for sampled in (False, True) if pair % 2 else (True, False):
                print(f"\r{name}: pair {pair + 1} of {self._pairs} ", end="", file=sys.stderr)
                if not sampled:
                    time.sleep(_SETTLE_S)
                    without.append(timed(work))
                    continue
                spent, summary, sources = self._sampled(work, root)
                sampled_runs.append(spent)
                summaries.append(summary)
        print("\r" + " " * 60, end="\r", file=sys.stderr)
        wall, cpu = (
            ratio([run[part] for run in sampled_runs], [run[part] for run in without])
            for part in (0, 1)
        )
        share = interval(
            summaries,
            lambda chosen: (
                sum(summaries[i].cpu_s for i in chosen) / sum(summaries[i].wall_s for i in chosen)
            ),
        )
        return Result(
            workload=name,
            pairs=self._pairs,
            run_s=statistics.median(run[0] for run in without),
            cpu_share=share,
            cpu_verdict=verdict(share[1], share[2], LIMIT),
            wall_ratio=wall,
            wall_verdict=verdict(wall[1], wall[2], 1 + LIMIT),
            cpu_ratio=cpu,
            samples_per_s=sum(s.samples for s in summaries) / sum(s.wall_s for s in summaries),
            sources=sources,
            stretch=max(s.stretch for s in summaries),
            largest_gap_s=max(s.largest_gap_ns for s in summaries) / 1e9,
        )

    def _sampled(
        self, work: Callable[[], None], root: Path | None
    ) -> tuple[tuple[float, float], SamplerSummary, int]:
        from edgeagent.meter.sampler.control import Sampler

        self._number += 1
        out = self._folder / f"samples-{self._number}.jsonl"
        with Sampler(pid=os.getpid(), out=out, config=self._config, root=root) as sampler:
            time.sleep(_SETTLE_S)
            spent = timed(work)
        assert sampler.summary is not None
        if sampler.summary.error:
            sys.exit(f"error: {sampler.summary.error}")
        return spent, sampler.summary, sum(s.state.value == "ok" for s in sampler.sources)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return wall time and processor time of one run."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def run_config() -> RunConfig:
    """A configuration of the size that profiles have; it is written with every batch."""
    from edgeagent import __version__
    from edgeagent.meter.host.facts import host_record
    from edgeagent.record.run import RunConfig

    return RunConfig(
        model_id="overhead",
        package_sha256="0" * 64,
        precision="int4 block 32 + correction; int8 block 32, shared with the embedding",
        package_bytes=115_000_000,
        engine="genai",
        engine_version="0",
        ep="cpu",
        engine_settings={"intra_op_num_threads": usable(), "allow_spinning": True},
        suite="overhead@1",
        suite_sha256="0" * 64,
        paradigms=("base", "single", "multi"),
        repeat=1,
        seed=0,
        budget={"max_turns": 5, "max_new_tokens": 160, "timeout_s": 60.0},
        tool_call_format="compact",
        edgeagent_version=__version__,
        host=host_record(),
    )


@contextmanager
def many_sources() -> Iterator[Path]:
    """Lay out a synthetic tree: RAPL of two sockets, a Jetson's rails, a battery, clocks, heat."""
    from edgeagent.meter.capture.format import Capture, CapturedFile, Origin, Reading
    from edgeagent.meter.capture.replay import Replay

    texts: dict[str, str] = {}
    for zone, name in (("0", "package-0"), ("1", "package-1"), ("2", "psys"), ("0:0", "dram")):
        folder = f"sys/class/powercap/intel-rapl:{zone}"
        texts |= {f"{folder}/name": name, f"{folder}/energy_uj": "26963529117"}
        texts[f"{folder}/max_energy_range_uj"] = "262143328850"
    monitor = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    texts[f"{monitor}/name"] = "ina3221"
    for channel, label in enumerate(("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), 1):
        texts |= {f"{monitor}/in{channel}_label": label, f"{monitor}/in{channel}_input": "4984"}
        texts[f"{monitor}/curr{channel}_input"] = "520"
    board = "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0"
    texts["sys/firmware/devicetree/base/compatible"] = board
    battery = "POWER_SUPPLY_TYPE=Battery\nPOWER_SUPPLY_STATUS=Discharging\nPOWER_SUPPLY_PRESENT=1"
    texts |= {
        "sys/class/power_supply/BAT0/type": "Battery",
        "sys/class/power_supply/BAT0/status": "Discharging",
        "sys/class/power_supply/BAT0/uevent": f"{battery}\nPOWER_SUPPLY_POWER_NOW=19195000",
    }
    for index in range(8):
        zone = f"sys/class/thermal/thermal_zone{index}"
        texts |= {f"{zone}/type": "cpu-thermal", f"{zone}/temp": "45000"}
        policy = f"sys/devices/system/cpu/cpufreq/policy{index}"
        texts |= {f"{policy}/scaling_cur_freq": "2400000", f"{policy}/affected_cpus": str(index)}
        texts |= {f"{policy}/scaling_max_freq": "3000000", f"{policy}/cpuinfo_max_freq": "3000000"}
    capture = Capture(
        origin=Origin.SYNTHETIC,
        edgeagent_version="0",
        system="Linux",
        machine="none",
        frame_t_s=(0.0,),
        links={},
        files=tuple(
            CapturedFile(path=path, readings=(Reading(frame=0, text=f"{text}\n"),))
            for path, text in texts.items()
        ),
        left_out={},
        removed={},
    )
    with Replay(capture) as replay:
        (replay.tree.root / "proc").symlink_to("/proc")  # the measured process is a real one
        yield replay.tree.root


def default_package() -> Path | None:
    """Return the exported default model, `None` if there is none."""
    from edgeagent.config.model import DEFAULT_MODEL
    from edgeagent.config.paths import packages_dir

    folder = packages_dir() / DEFAULT_MODEL
    return folder if folder.is_dir() else None


def measure_all(options: argparse.Namespace) -> list[Result]:
    """Measure every workload that this machine has."""
    results = []
    with tempfile.TemporaryDirectory(prefix="edgeagent-overhead-") as folder:
        bench = Bench(Path(folder), run_config(), options.pairs)
        loop = sized(spin, options.seconds)
        results.append(bench.measure("loop on one core", loop))
        results.append(bench.measure("loop on every core", sized(spin_everywhere, options.seconds)))
        if os.name == "posix" and Path("/proc/self/status").exists():
            with many_sources() as root:
                results.append(bench.measure("loop on one core, many sources", loop, root))
        package = options.package or default_package()
        if package is not None:
            with decoding(package, options.seconds) as work:
                results.append(bench.measure(f"decode with {package.name}", work))
        else:
            print("no package: decoding is left out; see --package", file=sys.stderr)
    return results


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="measure_sampler_overhead.py", description="Measure what the sampler costs."
    )
    parser.add_argument("--package", type=Path, metavar="DIR", help="default: the default model's")
    parser.add_argument("--pairs", type=int, default=8, metavar="N", help="default 8")
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="of a run, default 2"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    try:
        from edgeagent.errors import EdgeAgentError
    except ImportError:
        sys.exit(f"error: {sys.executable} has no edgeagent; use the Python of .venv")
    if options.pairs < 2 or options.seconds <= 0:
        sys.exit("error: an interval needs --pairs 2 or more, and runs that take some time")
    try:
        results = measure_all(options)
    except EdgeAgentError as error:
        sys.exit(f"error: {error}")
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return
    print(
        "| workload | sources | readings/s | sampler, share of a core | wall, with / without | "
        "processor time, with / without |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for result in results:
        share, share_low, share_high = (100 * value for value in result.cpu_share)
        wall, low, high = result.wall_ratio
        cpu, cpu_low, cpu_high = result.cpu_ratio
        print(
            f"| {result.workload} | {result.sources} | {result.samples_per_s:.0f} | "
            f"{share:.2f} % ({share_low:.2f} to {share_high:.2f}), {result.cpu_verdict} | "
            f"{wall:.4f} ({low:.4f} to {high:.4f}), {result.wall_verdict} | "
            f"{cpu:.4f} ({cpu_low:.4f} to {cpu_high:.4f}) |"
        )


if __name__ == "__main__":
    main()
