"""Programs of other people: what they see, what is kept of what they say, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edgeagent.errors import ConfigError, ExportError
from edgeagent.export.backends.child import (
    child_environment,
    isolated,
    run_child,
    telling_line,
)

PYTHON = Path(sys.executable)


def run(code: str, folder: Path, lines: list[str] | None = None) -> Path:
    log = folder / "child.log"
    run_child(
        isolated(PYTHON, ["-c", code]),
        what="The tool",
        log=log,
        environment=child_environment(folder / "scratch"),
        cwd=folder,
        on_line=([] if lines is None else lines).append,
    )
    return log


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_lines_and_progress_bars_arrive_and_are_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('one'); sys.stderr.write('10%|#\\r20%|##\\n'); print('Zürich')"
    log = run(code + "; sys.stdout.write('no end of line')", tmp_path, lines)
    assert {"one", "10%|#", "20%|##", "Zürich", "no end of line"} <= set(lines)
    text = log.read_text(encoding="utf-8")
    assert text.startswith("$ ")
    assert "Zürich" in text


def test_a_failure_is_one_sentence_with_the_telling_line_and_the_log(tmp_path: Path) -> None:
    code = "print('loading'); raise NotImplementedError('The model Foo is not supported.')"
    with pytest.raises(ExportError) as caught:
        run(code, tmp_path)
    assert str(caught.value) == (
        "The tool failed: NotImplementedError: The model Foo is not supported; all it printed is"
        f" in {tmp_path / 'child.log'}."
    )
    assert "Traceback" in (tmp_path / "child.log").read_text(encoding="utf-8")


def test_a_silent_failure_has_its_status(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="The tool failed: it ended with status 3; all"):
        run("import os; os._exit(3)", tmp_path)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["ValueError: bad", "  File x", "Loading: 40%|####"], "ValueError: bad"),
        (["ERROR: No matching distribution found for torch", "[notice] new pip"], "ERROR: No m"),
        (["Killed", "UserWarning: old", "WARNING: x", ""], "Killed"),
        (["torch.cuda.OutOfMemoryError: no room"], "torch.cuda.OutOfMemoryError: no room"),
        ([], ""),
    ],
)
def test_telling_lines(lines: list[str], told: str) -> None:
    assert telling_line(lines).startswith(told)
    assert bool(telling_line(lines)) == bool(told)


def test_children_are_off_the_network_and_hold_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working directory')")
    lines: list[str] = []
    run("import os, json; print(*map('='.join, os.environ.items()), sep='\\n')", tmp_path, lines)
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert "HF_TOKEN" not in seen
    assert "PYTHONPATH" not in seen
    expected = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    assert [seen[name] for name in expected] == ["1"] * 4
    assert Path(seen["HF_HOME"]).is_relative_to(tmp_path)
    assert Path(seen["TMPDIR"]).is_relative_to(tmp_path)


def test_a_program_that_is_not_there_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be started"):
        run_child(
            [str(tmp_path / "python")],
            what="The tool",
            log=tmp_path / "log",
            environment={},
            cwd=tmp_path,
            on_line=print,
        )


def test_whatever_stops_the_export_ends_the_program_and_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time, os\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(os.getpid(), child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    pids: list[int] = []

    def cancel(line: str) -> None:
        pids.extend(map(int, line.split()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child(
            isolated(PYTHON, ["-c", code]),
            what="The tool",
            log=tmp_path / "log",
            environment=child_environment(tmp_path),
            cwd=tmp_path,
            on_line=cancel,
        )
    assert len(pids) == 2
    assert all(wait_until_gone(pid) for pid in pids)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_ends_a_program_that_says_nothing(tmp_path: Path) -> None:
    note = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    inner = f"import os, pathlib, time; {note}; time.sleep(600)"
    outer = (
        "import sys\nfrom pathlib import Path\n"
        "from edgeagent.export.backends.child import *\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "try:\n"
        f"    run_child(isolated(Path(sys.executable), ['-c', {inner!r}]), what='x',\n"
        "        log=folder / 'log', environment=child_environment(folder), cwd=folder,\n"
        "        on_line=print)\n"
        "except KeyboardInterrupt:\n    sys.exit(42)\n"
    )
    # A shell's background job may have Ctrl-C ignored, which children inherit.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + outer
    with subprocess.Popen([sys.executable, "-c", code], process_group=0) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        child = int((tmp_path / "pid").read_text())
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 42
    assert wait_until_gone(child)
