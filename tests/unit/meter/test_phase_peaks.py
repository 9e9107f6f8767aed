"""Peaks of phases: each peak belongs to the phase that caused it, and to no later one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sensor_trees import write

from edgeagent.meter.memory.phase_peaks import PhasePeaks
from edgeagent.meter.tree import SystemTree
from edgeagent.record.spans import Recorder, SpanKind

KIB = 1024
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


class Process:
    """A tree in which VmHWM behaves as the kernel's: writing to `clear_refs` lowers it to VmRSS."""

    def __init__(self, root: Path) -> None:
        self.clear = write(root / "proc/self/clear_refs", "")
        self.rss = self.high = 100
        self.tree = SystemTree(root, self._read)

    def uses(self, peak: int, rss: int) -> None:
        self.high, self.rss = max(self._mark(), peak), rss

    def _mark(self) -> int:
        if self.clear.exists() and self.clear.read_text(encoding="ascii") == "5":
            self.clear.write_text("", encoding="ascii")
            self.high = self.rss
        return self.high

    def _read(self, path: Path) -> str:
        assert path.as_posix().endswith("/proc/self/status")
        high = self._mark()
        return (
            f"VmHWM: {high} kB\nVmRSS: {self.rss} kB\nRssAnon: {self.rss - 10} kB\nRssFile: 10 kB\n"
        )


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def in_kib(peaks: dict[str, int]) -> dict[str, float]:
    return {phase: peak / KIB for phase, peak in peaks.items()}


def test_a_peak_belongs_to_the_innermost_phase_and_not_to_those_after_it(process: Process) -> None:
    process.uses(150, 120)
    peaks = PhasePeaks(process.tree, first="start")
    recorder = Recorder(peaks)
    with peaks.phase("load"):
        process.uses(900, 300)
    with recorder.span(SpanKind.ORCHESTRATE, "a"):
        process.uses(310, 310)
        with recorder.span(SpanKind.PREFILL, "a"):
            process.uses(500, 400)
        with recorder.span(SpanKind.DECODE, "a"):
            process.uses(420, 410)
        with recorder.span(SpanKind.PREFILL, "a"):
            process.uses(430, 405)
    found = peaks.result()
    assert in_kib(found.rss_peak_bytes) == {
        "start": 150,
        "rest": 405,
        "load": 900,
        "orchestrate": 410,
        "prefill": 500,
        "decode": 420,
    }
    assert in_kib(found.rss_anon_bytes)["load"] == 290
    assert in_kib(found.rss_file_bytes)["decode"] == 10


def test_a_phase_that_fails_ends_and_its_peak_is_its_own(process: Process) -> None:
    peaks = PhasePeaks(process.tree)

    @peaks.phase("load")
    def load() -> None:
        process.uses(700, 100)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        load()
    process.uses(200, 100)
    assert in_kib(peaks.result().rss_peak_bytes) == {"rest": 200, "load": 700}


def test_without_a_mark_that_starts_anew_no_phase_has_a_peak(process: Process) -> None:
    peaks = PhasePeaks(process.tree)
    process.clear.unlink()  # as in containers that hide it
    with peaks.phase("load"):
        process.uses(700, 500)
    found = peaks.result()
    assert found.rss_peak_bytes == {}
    assert in_kib(found.rss_anon_bytes)["load"] == 490


def test_a_system_without_proc_tells_nothing(tmp_path: Path) -> None:
    peaks = PhasePeaks(SystemTree(tmp_path))
    with peaks.phase("load"):
        pass
    found = peaks.result()
    assert found.rss_peak_bytes == found.rss_anon_bytes == found.rss_file_bytes == {}


PROGRAM = """
import json
from edgeagent.meter.memory.phase_peaks import PhasePeaks
peaks = PhasePeaks()
with peaks.phase("load"):
    block = b"x" * (96 << 20)
    del block
with peaks.phase("decode"):
    block = b"x" * (32 << 20)
print(json.dumps(peaks.result().rss_peak_bytes))
"""


@linux_only
def test_a_real_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True
    )
    found = json.loads(done.stdout)
    if not found:
        pytest.skip("clear_refs is not writable here")
    assert found["load"] - found["decode"] == pytest.approx(64 << 20, rel=0.2)
