"""The client of a benchmark's worker, with workers that are scripts."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgeagent.errors import EngineError, ResourceError
from edgeagent.profiling.bench import ceilings, client
from edgeagent.profiling.bench.ceilings import measure_ceilings
from edgeagent.profiling.bench.client import BenchWorker
from edgeagent.profiling.bench.messages import CeilingJob
from edgeagent.record.bench import Cell

READING = '{"readings": [{"t0_ns": 1, "t1_ns": 5, "step_ns": [4]}]}'
CELL = Cell(kind="decode", tokens=1)

Script = Callable[[str], None]


@pytest.fixture
def worker_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Let a script stand in for the worker; it begins behind the greeting."""

    def write(text: str) -> None:
        begin = "import os, sys, time\nsys.stdin.readline()\n"
        (tmp_path / "scripted_worker.py").write_text(begin + textwrap.dedent(text), "utf-8")

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(client, "_MODULE", "scripted_worker")
    monkeypatch.setattr(ceilings, "_MODULE", "scripted_worker")
    return write


def children() -> list[psutil.Process]:
    return psutil.Process(os.getpid()).children(recursive=True)


def test_answers_are_found_between_what_others_print(worker_script: Script) -> None:
    worker_script(
        f"""
        print("a start-up hook", flush=True)
        print('{{"ready": true}}', flush=True)
        for line in sys.stdin:
            print("noise")
            print('{READING}', flush=True)
        """
    )
    with BenchWorker(Path("package")) as worker:
        assert worker.measure(CELL).step_ns == (4,)
        assert len(worker.measure_many(CELL, repeat=3)) == 1
    assert children() == []


def test_the_request_says_what_to_do(worker_script: Script) -> None:
    worker_script(
        """
        import json
        print('{"ready": true}', flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            seen = [asked["cell"]["depth"], asked["repeat"], asked["min_ns"]]
            print(json.dumps({"readings": [{"t0_ns": 0, "t1_ns": 0, "step_ns": seen}]}), flush=True)
        """
    )
    with BenchWorker(Path("package")) as worker:
        cell = Cell(kind="decode", depth=7, tokens=2)
        assert worker.measure_many(cell, repeat=3, min_ns=90)[0].step_ns == (7, 3, 90)


def test_a_crash_tells_the_last_line(worker_script: Script) -> None:
    worker_script(
        """
        print('{"ready": true}', flush=True)
        sys.stdin.readline()
        print("first line", file=sys.stderr)
        print("terminate called: out of luck.", file=sys.stderr, flush=True)
        os._exit(3)
        """
    )
    with BenchWorker(Path("package")) as worker:
        with pytest.raises(EngineError, match=r"died: terminate called: out of luck\.$"):
            worker.measure(CELL)
        with pytest.raises(EngineError, match="out of luck"):
            worker.measure(CELL)
    assert children() == []


def test_an_answer_of_another_version_is_no_endless_wait(worker_script: Script) -> None:
    worker_script(
        """
        print('{"ready": true}', flush=True)
        sys.stdin.readline()
        print('{"readings_of_tomorrow": []}', flush=True)
        sys.stdin.readline()
        """
    )
    with (
        BenchWorker(Path("package")) as worker,
        pytest.raises(EngineError, match="another version"),
    ):
        worker.measure(CELL)
    assert children() == []


def test_a_silent_crash_tells_its_status(worker_script: Script) -> None:
    worker_script("os._exit(9)")
    with pytest.raises(EngineError, match="exit status 9"), BenchWorker(Path("package")):
        pass
    assert children() == []


@pytest.mark.parametrize(("exhausted", "kind"), [("true", ResourceError), ("false", EngineError)])
def test_a_failure_keeps_its_kind(
    worker_script: Script, exhausted: str, kind: type[Exception]
) -> None:
    worker_script(
        f"""
        print('{{"ready": true}}', flush=True)
        sys.stdin.readline()
        print('{{"failed": "It is too much.", "exhausted": {exhausted}}}', flush=True)
        """
    )
    with BenchWorker(Path("package")) as worker, pytest.raises(kind, match=r"^It is too much\.$"):
        worker.load()


def test_ctrl_c_ends_a_worker_that_computes(worker_script: Script) -> None:
    worker_script(
        """
        print('{"ready": true}', flush=True)
        sys.stdin.readline()
        time.sleep(60)
        """
    )

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), BenchWorker(Path("package")) as worker:
        worker.measure(CELL, meanwhile=interrupt)
    assert children() == []


def test_a_worker_outside_its_block_says_so() -> None:
    worker = BenchWorker(Path("package"))
    with pytest.raises(EngineError, match="not running"):
        worker.load()
    worker.close()


def test_limits_that_cannot_be_measured_say_why(worker_script: Script) -> None:
    worker_script("""print('{"failed": "The graphs are missing."}', flush=True)""")
    with pytest.raises(EngineError, match="cannot be measured: The graphs are missing"):
        measure_ceilings(CeilingJob(threads=1))
    worker_script("sys.exit('Bus error')")
    with pytest.raises(EngineError, match="cannot be measured: Bus error"):
        measure_ceilings(CeilingJob(threads=1))
    assert children() == []


def test_a_package_that_cannot_be_loaded(tmp_path: Path) -> None:
    """The real worker: its error arrives as it is."""
    with BenchWorker(tmp_path) as worker, pytest.raises(EngineError, match="is not a package"):
        worker.load()
    assert children() == []
    assert sys.modules.get("edgeagent.profiling.bench.worker") is None
