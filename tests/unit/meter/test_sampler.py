"""The sampler as a real process: what it sees, how it ends, and what it leaves behind."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sensor_trees import intel_laptop

from edgeagent.clock import NS_PER_S, now_ns
from edgeagent.errors import ResourceError
from edgeagent.meter.sampler import control as sampler_module
from edgeagent.meter.sampler.control import Sampler
from edgeagent.record import jsonl
from edgeagent.record.run import HostRecord, RunConfig, SampleBatch
from edgeagent.record.samples import Sample, SourceState

CONFIG = RunConfig(
    model_id="m",
    package_sha256="0" * 64,
    precision="int4",
    package_bytes=1,
    engine="scripted",
    engine_version="1",
    ep="cpu",
    engine_settings={"threads": 2},
    suite="core@1",
    suite_sha256="0" * 64,
    paradigms=("base",),
    repeat=1,
    seed=0,
    budget={"max_turns": 5},
    tool_call_format="compact",
    edgeagent_version="0",
    host=HostRecord(
        os="Linux",
        machine="x86_64",
        cpu="cpu",
        cores_physical=None,
        cores_usable=1,
        memory_bytes=1,
        python="3",
    ),
)

FAST = {"interval_s": 0.02, "cpu_share": 1.0}
"""For looks at short moments; what it costs does not matter there."""

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

PARENT = """
import json, os, pathlib, sys, time
from edgeagent.meter.sampler.control import Sampler
from edgeagent.record.run import RunConfig
config = RunConfig.model_validate_json(sys.argv[2])
try:
    out = pathlib.Path(sys.argv[1])
    with Sampler(pid=os.getpid(), out=out, config=config, interval_s=0.02, cpu_share=1.0):
        print("up", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("saved", flush=True)
    sys.exit(130)
"""
"""A measured process that waits, to be killed or interrupted."""


def batches(path: Path) -> list[SampleBatch]:
    torn: list[str] = []
    found = list(jsonl.read(path, SampleBatch, on_torn=torn.append))
    assert torn == []
    return found


def readings(path: Path, source: str) -> list[Sample]:
    return [s for batch in batches(path) for s in batch.samples if s.source == source]


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def start_parent(out: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    """Start a measured process with a sampler; return both."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(out), CONFIG.model_dump_json()],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    (sampler,) = psutil.Process(parent.pid).children()
    return parent, sampler


def test_an_allocation_shows_at_its_time(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    with Sampler(pid=os.getpid(), out=out, config=CONFIG, session=3, **FAST) as sampler:
        assert "process:rss" in {source.source for source in sampler.sources}
        time.sleep(0.3)
        t_before_ns = now_ns()
        block = b"x" * (128 << 20)
        t_after_ns = now_ns()
        time.sleep(0.5)
        t_end_ns = now_ns()
        del block
    rss = readings(out, "process:rss")
    before = [sample.value for sample in rss if sample.t_ns < t_before_ns]
    after = [
        sample.value for sample in rss if t_after_ns < sample.t_ns - sample.width_ns < t_end_ns
    ]
    assert len(before) >= 3
    assert len(after) >= 2
    assert min(after) - max(before) > 120 << 20
    for batch in batches(out):
        assert batch.config == CONFIG
        assert batch.session == 3
    assert batches(out)[0].sources == sampler.sources
    assert all(batch.sources == () for batch in batches(out)[1:])


def test_every_moment_inside_the_block_lies_between_two_readings(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    with Sampler(pid=os.getpid(), out=out, config=CONFIG, interval_s=0.5) as sampler:
        t0_ns = now_ns()
        t1_ns = now_ns()
    times = [sample.t_ns for sample in readings(out, "process:rss")]
    assert min(times) < t0_ns <= t1_ns < max(times)
    assert sampler.summary is not None
    assert sampler.summary.error == ""
    assert sampler.summary.samples == sum(len(batch.samples) for batch in batches(out))
    assert sampler.close() == sampler.summary


def test_pace_largest_gap_and_cost_are_told(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    pace = {"interval_s": 0.05, "cpu_share": 1.0}
    with Sampler(pid=os.getpid(), out=out, config=CONFIG, **pace) as sampler:
        time.sleep(2.3)
    summary = sampler.summary
    assert summary is not None
    found = batches(out)
    assert summary.batches == len(found) >= 2
    gaps_ns = {}
    for source in {sample.source for batch in found for sample in batch.samples}:
        times = [sample.t_ns for sample in readings(out, source)]
        if len(times) > 1:
            gaps_ns[source] = max(later - earlier for earlier, later in itertools.pairwise(times))
    assert summary.gaps_ns == gaps_ns
    assert summary.largest_gap_ns == max(batch.largest_gap_ns for batch in found)
    assert gaps_ns["process:rss"] <= summary.largest_gap_ns <= max(gaps_ns.values())
    assert 10 <= len(readings(out, "process:rss")) <= 50
    assert 0 < summary.cpu_s < summary.wall_s
    assert len(readings(out, "process:pss")) <= 5


@linux_only
def test_samples_go_on_while_the_interpreter_lock_is_held(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    holding_the_lock = ctypes.PyDLL(None)  # unlike CDLL, PyDLL keeps the lock during the call
    with Sampler(pid=os.getpid(), out=out, config=CONFIG, **FAST):
        t0_ns = now_ns()
        holding_the_lock.usleep(800_000)
        t1_ns = now_ns()
    assert t1_ns - t0_ns >= 0.8 * NS_PER_S
    inside = [s for s in readings(out, "process:rss") if t0_ns < s.t_ns < t1_ns]
    assert len(inside) >= 8


def test_the_clock_is_shared_between_processes() -> None:
    code = "from edgeagent.clock import now_ns; print(now_ns())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    before_ns = now_ns()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=environment
    )
    assert before_ns < int(done.stdout) < now_ns()


@posix_only
def test_the_sampler_outlives_its_killed_parent_only_until_the_last_batch(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    parent, sampler = start_parent(out)
    with parent:
        time.sleep(0.5)
        parent.kill()
    assert wait_until(lambda: not sampler.is_running())
    assert len(readings(out, "process:rss")) >= 3


@posix_only
@pytest.mark.parametrize("to_sampler", [False, True])
def test_ctrl_c_reaches_the_parent_first(tmp_path: Path, to_sampler: bool) -> None:
    out = tmp_path / "samples.jsonl"
    parent, sampler = start_parent(out)
    with parent:
        if to_sampler:  # as a terminal would that does not know about process groups
            sampler.send_signal(signal.SIGINT)
            time.sleep(0.3)
            assert sampler.is_running()
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout is not None
        assert parent.stdout.read() == "saved\n"
        assert parent.wait() == 130
    assert wait_until(lambda: not sampler.is_running())
    assert readings(out, "process:rss")


@posix_only
def test_a_sampler_that_is_killed_is_told_and_its_batches_stay_whole(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    with Sampler(pid=os.getpid(), out=out, config=CONFIG, **FAST) as sampler:
        time.sleep(1.3)
        (child,) = [p for p in psutil.Process().children() if "sampler.main" in str(p.cmdline())]
        child.kill()
    assert sampler.summary is not None
    assert "ended early: exit status -9" in sampler.summary.error
    assert len(batches(out)) == 1


def test_it_ends_with_the_measured_process_even_if_the_pipe_stays_open(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    measured = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
    with Sampler(pid=measured.pid, out=out, config=CONFIG, **FAST) as sampler:
        (child,) = [p for p in psutil.Process().children() if "sampler.main" in str(p.cmdline())]
        with measured:
            pass
        assert wait_until(lambda: child.status() == psutil.STATUS_ZOMBIE, 5)
    assert sampler.summary is not None
    assert sampler.summary.error == ""
    assert readings(out, "process:rss")


def test_a_resumed_run_appends_behind_the_last_whole_line(tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    with Sampler(pid=os.getpid(), out=out, config=CONFIG):
        pass
    whole = out.read_bytes()
    out.write_bytes(whole + whole[:100])
    with Sampler(pid=os.getpid(), out=out, config=CONFIG, session=1):
        pass
    assert out.read_bytes().startswith(whole)
    assert [batch.session for batch in batches(out)] == [0, 1]


def test_a_folder_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    out = tmp_path / "missing" / "samples.jsonl"
    with pytest.raises(ResourceError, match=r"samples\.jsonl cannot be written \(No such file"):
        Sampler(pid=os.getpid(), out=out, config=CONFIG).start()


def test_a_process_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    sampler = Sampler(pid=gone.pid, out=tmp_path / "samples.jsonl", config=CONFIG)
    with pytest.raises(ResourceError, match="could not start"):
        sampler.start()
    assert sampler.close().error


def test_an_interpreter_that_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ResourceError, match="cannot be started"):
        Sampler(pid=os.getpid(), out=tmp_path / "samples.jsonl", config=CONFIG).start()


def test_a_child_that_fails_at_once_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    broken = tmp_path / "edgeagent"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('broken installation')\n")
    with pytest.raises(ResourceError, match="broken installation"):
        Sampler(pid=os.getpid(), out=tmp_path / "samples.jsonl", config=CONFIG).start()


def test_a_child_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sampler_module, "START_TIMEOUT_S", 0.5)
    monkeypatch.setattr(sampler_module, "STOP_TIMEOUT_S", 0.2)
    hanging = tmp_path / "edgeagent"
    hanging.mkdir()
    (hanging / "__init__.py").write_text("import time\ntime.sleep(60)\n")
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ResourceError, match="did not answer"):
        Sampler(pid=os.getpid(), out=tmp_path / "samples.jsonl", config=CONFIG).start()
    assert {child.pid for child in psutil.Process().children()} <= before


@pytest.mark.parametrize("interval_s", [0, -1, 0.001, float("nan"), float("inf")])
def test_impossible_intervals(tmp_path: Path, interval_s: float) -> None:
    with pytest.raises(ValueError, match="interval_s"):
        Sampler(pid=1, out=tmp_path / "s", config=CONFIG, interval_s=interval_s)


def test_the_sampler_loads_no_runtime() -> None:
    code = (
        "import json, sys, edgeagent.meter.sampler.main; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=environment
    )
    assert not {"onnxruntime", "onnxruntime_genai", "numpy", "rich"} & set(json.loads(done.stdout))


@posix_only
def test_a_source_that_vanishes_and_returns_under_a_running_sampler(tmp_path: Path) -> None:
    laptop = intel_laptop(tmp_path / "root")
    energy = tmp_path / "root/sys/devices/virtual/powercap/intel-rapl:0/energy_uj"
    out = tmp_path / "samples.jsonl"
    with Sampler(pid=os.getpid(), out=out, config=CONFIG, root=laptop.root, **FAST) as sampler:
        time.sleep(0.15)
        gone_ns = now_ns()
        energy.unlink()
        time.sleep(0.3)
        energy.write_text("26963600000\n")
        back_ns = now_ns()
        time.sleep(1.2)
    times = [sample.t_ns for sample in readings(out, "rapl:package-0")]
    (failure,) = [failure for batch in batches(out) for failure in batch.failures]
    assert failure.state is SourceState.ABSENT
    assert gone_ns < failure.t_ns < back_ns
    assert min(times) < gone_ns
    assert max(times) > back_ns
    assert not [t_ns for t_ns in times if gone_ns + NS_PER_S // 50 < t_ns < back_ns]
    assert sampler.summary is not None
    assert sampler.summary.gaps_ns["rapl:package-0"] > 0.25 * NS_PER_S
    assert len([t_ns for t_ns in times if t_ns > back_ns]) > 5


@posix_only
def test_a_driver_that_hangs_does_not_hang_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler_module, "STOP_TIMEOUT_S", 0.3)
    laptop = intel_laptop(tmp_path / "root")
    energy = tmp_path / "root/sys/devices/virtual/powercap/intel-rapl:0/energy_uj"
    out = tmp_path / "samples.jsonl"
    with Sampler(pid=os.getpid(), out=out, config=CONFIG, root=laptop.root, **FAST) as sampler:
        time.sleep(1.2)
        energy.unlink()
        os.mkfifo(energy)  # opening it waits for a writer that never comes
        time.sleep(0.2)
    assert sampler.summary is not None
    assert "did not stop when asked" in sampler.summary.error
    assert len(batches(out)) >= 1
