"""Private by construction: a whole profile under a system-call trace.

With `CI` unset, because dependencies keep quiet under CI, and with a home folder of its own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

needs_strace = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("strace") is None,
    reason="needs strace, which .ci/run installs",
)

_CALL = re.compile(r"^(?:\d+\s+)?(?P<call>\w+)\((?P<arguments>.*)")
_PATH = re.compile(r'"(?P<path>(?:[^"\\]|\\.)*)"')
_NETWORK_CALLS = frozenset({"socket", "connect", "sendto", "sendmsg"})
_FILE_CALLS = frozenset(
    {"openat", "open", "creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2"}
)
_NETWORK_FAMILIES = ("AF_INET", "AF_INET6", "AF_PACKET")
_HARMLESS = ("/dev/", "/proc/self/", "/proc/thread-self/")


def strace(log: Path, calls: frozenset[str]) -> list[str]:
    """Return the command line in front of the one that is traced."""
    options = ["-e", "signal=none", "-s", "4096", "-o", str(log)]
    # Only these calls stop the traced programs; without the filter every call of theirs would.
    return [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        f"trace={','.join(sorted(calls))}",
        *options,
    ]


@pytest.fixture
def trace(command, clean_environment, tmp_path):
    def run(*arguments: object) -> list[str]:
        log = tmp_path / "trace.log"
        done = subprocess.run(
            [*strace(log, _NETWORK_CALLS | _FILE_CALLS), *command(*arguments)],
            cwd=tmp_path,
            env=clean_environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return log.read_text(encoding="utf-8", errors="replace").splitlines()

    return run


def network_calls(lines: list[str]) -> list[str]:
    return [
        line
        for line in lines
        if (match := _CALL.match(line))
        and match["call"] in _NETWORK_CALLS
        and any(family in match["arguments"] for family in _NETWORK_FAMILIES)
    ]


def written_paths(lines: list[str], base: Path) -> set[Path]:
    """Return what was created, opened for writing or renamed, failed attempts included."""
    found = set()
    for line in lines:
        match = _CALL.match(line)
        if match is None or match["call"] in _NETWORK_CALLS:
            continue
        opens = match["call"] in {"open", "openat"}
        if opens and not re.search(r"O_(WRONLY|RDWR|CREAT)", match["arguments"]):
            continue
        for path in _PATH.finditer(match["arguments"]):
            if not path["path"].startswith(_HARMLESS):
                found.add((base / path["path"]).resolve())
    return found


@needs_strace
def test_profile_makes_no_connection_and_writes_only_its_own_folders(
    trace, smollm2_gguf, short_suite, tmp_path
):
    # A local file, so that nothing has to be downloaded: export, cold starts, run and report.
    arguments = ("--suite", short_suite, "--paradigms", "base,single", "--out", "run", "-q")
    lines = trace("profile", smollm2_gguf, *arguments)
    assert len(lines) > 100, "the trace saw nothing"
    assert network_calls(lines) == []
    own = [tmp_path / name for name in ("run", "edgeagent-home", "tmp")]
    strangers = {
        path
        for path in written_paths(lines, tmp_path)
        if not any(path.is_relative_to(folder.resolve()) for folder in own)
    }
    assert strangers == set()
    assert list((tmp_path / "home").iterdir()) == []


@needs_strace
def test_the_trace_would_see_a_connection_and_a_stray_file(tmp_path, clean_environment):
    log = tmp_path / "trace.log"
    code = (
        "import socket; s = socket.socket(); s.settimeout(0.1)\n"
        "try: s.connect(('127.0.0.1', 9))\n"
        "except OSError: pass\n"
        "open('stray', 'w').close()"
    )
    subprocess.run(
        [*strace(log, _NETWORK_CALLS | _FILE_CALLS), sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean_environment,
        timeout=60,
        check=True,
    )
    lines = log.read_text(encoding="utf-8").splitlines()
    assert any("connect" in line for line in network_calls(lines))
    assert (tmp_path / "stray").resolve() in written_paths(lines, tmp_path)
