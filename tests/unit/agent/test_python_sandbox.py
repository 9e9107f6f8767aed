"""The sandbox withstands code that tries to get out, by every set of layers that counts as one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

import edgeagent
from edgeagent.agent.tools.python.support import find_layers, sandbox_support
from edgeagent.agent.tools.sandbox.limits import SandboxLimits
from edgeagent.agent.tools.sandbox.plan import Layers
from edgeagent.agent.tools.sandbox.process import Ending, Finished, run_confined
from edgeagent.agent.tools.sandbox.scratch import remove_folder
from edgeagent.agent.tools.sandbox.syscalls import ALLOWED, CHECKED, number

if not sandbox_support().offered:
    # One that does not hold is no reason to skip the tests that find out why.
    assert "does not hold" not in sandbox_support().reason
    pytest.skip(f"no sandbox here: {sandbox_support().reason}", allow_module_level=True)

SETS = {
    "all": Layers(),
    "landlock": Layers(namespaces=False),
    "namespaces": Layers(landlock=False),
}
"""Every set of layers that counts as a sandbox."""

ATTEMPTS = Path(__file__).with_name("escape_attempts.py")
LIMITS = SandboxLimits(wall_s=20, memory_bytes=128 << 20)


@pytest.fixture(scope="module")
def facts() -> Iterator[dict[str, Any]]:
    """What there is to attack: files, servers, a process, an open file, a secret variable."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        (Path(folder) / "inherited").open("wb") as inherited,
        subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        ) as victim,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(folder).chmod(0o777)  # so that permissions are not what protects it
        secret = Path(folder) / "secret"
        secret.write_text("hunter2")
        secret.chmod(0o666)
        unix.bind(f"{folder}/unix")
        unix.listen()
        name = f"\0edgeagent-{os.getpid()}"
        abstract.bind(name)
        abstract.listen()
        os.set_inheritable(inherited.fileno(), True)
        patch.setenv("EDGEAGENT_TEST_SECRET", "hunter2")
        listed = {number(name, os.uname().machine) for name in (*ALLOWED, *CHECKED)}
        yield {
            "outside": folder,
            "secret": str(secret),
            "port": tcp.getsockname()[1],
            "unix": f"{folder}/unix",
            "abstract": name,
            "victim": victim.pid,
            "parent": os.getpid(),
            "descriptor": inherited.fileno(),
            "package": str(installed_file()),
            "too_many_bytes": LIMITS.memory_bytes + 1,
            "listed_calls": sorted(listed - {None}),
            "left_out": [],
        }
        assert secret.read_text() == "hunter2"
        assert sorted(path.name for path in Path(folder).iterdir()) == [
            "inherited",
            "secret",
            "unix",
        ]
        assert (Path(folder) / "inherited").read_bytes() == b""
        assert victim.poll() is None
        victim.communicate()


def installed_file() -> Path:
    """Return a file of a package that lies beside the standard library, else one of ours."""
    packages = Path(os.__file__).parent / "site-packages"
    return next((path for path in packages.glob("*/*.py")), Path(edgeagent.__file__))


def attack(facts: dict[str, Any], layers: Layers, *left_out: str) -> dict[str, list[str]]:
    facts = facts | {"left_out": left_out}
    code = f"{ATTEMPTS.read_text(encoding='utf-8')}\nreport({facts!r})\n"
    finished = run_confined(code, LIMITS, layers)
    assert finished.ending is Ending.DONE, finished
    result: dict[str, list[str]] = json.loads(finished.output)
    return result


@pytest.fixture
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present_sets()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@cache
def present_sets() -> tuple[Layers, ...]:
    return tuple(layers for layers in SETS.values() if find_layers(layers).plan == layers)


def require(layers: Layers) -> None:
    if layers not in present_sets():
        pytest.skip("this machine does not have these layers")


@pytest.mark.parametrize("name", SETS)
def test_nothing_gets_out(name: str, facts: dict[str, Any]) -> None:
    require(SETS[name])
    result = attack(facts, SETS[name])
    assert result["escaped"] == []
    assert len(result["refused"]) > 90


def test_without_the_filter_these_would_get_out(facts: dict[str, Any]) -> None:
    require(SETS["landlock"])
    # Those that end or duplicate the process that tells the outcome are left out.
    left_out = "every other call", "fork", "daemon", "vfork", "clone", "exec", "signal all"
    left_out += "signal group", "signal victim", "change root", "user namespace"
    # And these would outlive it.
    left_out += "priority of the user", "shared memory", "message queue", "semaphore"
    escaped = attack(facts, Layers(seccomp=False, namespaces=False), *left_out)["escaped"]
    # Sockets of other users are out of reach anyway where root became nobody.
    assert {"socket pair", "thread", "truncate by reading"} <= set(escaped)
    assert {"memory in a file", "change time"} <= set(escaped)


def test_without_walls_around_files_these_would_get_out(facts: dict[str, Any]) -> None:
    harmful = "remove", "move away", "write", "append", "make a folder", "move out"
    library = "add to the library", "change the library"
    layers = Layers(landlock=False, namespaces=False)
    escaped = attack(facts, layers, *harmful, *library, "shared memory file")["escaped"]
    # The environment of others is out of reach anyway where root became nobody.
    assert {"read", "read after chdir", "/proc list", "/sys"} <= set(escaped)


IGNORE = """
import os, signal, sys, time
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except OSError:
        pass
"""
WAITING = {
    "sleeps": IGNORE + "while True: time.sleep(1000)",
    "stops": "import os, signal, time\nos.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(1000)",
    "hides": "import os, time\nos.close(1); os.close(2)\ntime.sleep(1000)",
}
COMPUTING = IGNORE + "while True: pass"
ENDLESS = {
    "prints": ("while True: print('x' * 1000)", Ending.OUTPUT),
    "prints one line": ("while True: print('x', end='')", Ending.OUTPUT),
    "complains": ("import os\nwhile True: os.write(2, b'x' * 1000)", Ending.OUTPUT),
    "shows": ("'x' * 10**7", Ending.OUTPUT),
    "grows": ("x = []\nwhile True: x.append(' ' * 10**6)", Ending.FAILED),
    "recurses": ("def f(): f()\nf()", Ending.FAILED),
    "nests": ("x = " + "-" * 100_000 + "1", None),
    "recurses in C": ("x = []\nfor _ in range(10**5): x = [x]\nrepr(x)", None),
    "ends itself": ("import os\nos._exit(3)", Ending.SIGNAL),
}
"""Code that would fill memory or pipes, and how it ends (`None`: depends on the interpreter)."""

WRITING = {
    "one file": "with open('x', 'wb') as f:\n while True: f.write(bytes(1 << 20))",
    "many files": (
        "i = 0\nwhile True:\n i += 1\n with open(str(i), 'wb') as f: f.write(bytes(10**5))"
    ),
    "empty files": "i = 0\nwhile True:\n i += 1\n open(str(i), 'w').close()",
    "folders": "import os\nwhile True: os.mkdir('x'); os.chdir('x')",
    "unreadable folders": (
        "import os\nos.umask(0)\nos.mkdir('x', 0o300); os.chdir('x')\nn = 0\n"
        "while True:\n with open(str(n), 'wb') as f: f.write(bytes(10**5))\n n += 1"
    ),
}


def run_all(
    codes: Iterable[str], limits: SandboxLimits, threads: int, sets: int = len(SETS)
) -> list[Finished]:
    """Run each code in each set of layers, or the first ones, several at the same time."""
    jobs = [(code, limits, layers) for code in codes for layers in present_sets()[:sets]]
    with ThreadPoolExecutor(threads) as pool:
        finished = list(pool.map(lambda job: run_confined(*job), jobs))
    assert leftovers() == []
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    return finished


@pytest.mark.usefixtures("own_temporary_folder")
def test_waiting_ends() -> None:
    finished = run_all(WAITING.values(), SandboxLimits(wall_s=1), len(WAITING) * len(SETS))
    assert {item.ending for item in finished} <= {Ending.TIME, Ending.SIGNAL}
    assert max(item.wall_s for item in finished) < 5


@pytest.mark.usefixtures("own_temporary_folder")
def test_computing_ends() -> None:
    limits = SandboxLimits(wall_s=60, cpu_s=1)
    finished = run_all([COMPUTING], limits, 2, sets=2)
    assert {item.ending for item in finished} == {Ending.CPU}


@pytest.mark.usefixtures("own_temporary_folder")
def test_memory_and_pipes_are_not_filled() -> None:
    limits = SandboxLimits(wall_s=60, memory_bytes=128 << 20)
    finished = run_all([code for code, _ in ENDLESS.values()], limits, 4, sets=1)
    for (what, (_, ending)), item in zip(ENDLESS.items(), finished, strict=True):
        assert item.ending not in {Ending.DONE, Ending.TIME, Ending.LAYER_MISSING}, what
        assert ending in {None, item.ending}, (what, item)
        assert len(item.output) <= limits.output_bytes
        assert len(item.message) <= limits.output_bytes


@pytest.mark.usefixtures("own_temporary_folder")
def test_the_disk_is_not_filled() -> None:
    limits = SandboxLimits(wall_s=60, scratch_bytes=4 << 20)
    finished = run_all(WRITING.values(), limits, 4)
    # The kernel refuses more, or the parent ends what writes more.
    assert {item.ending for item in finished} <= {Ending.FAILED, Ending.FILES, Ending.SIGNAL}


PROGRAM = """
import sys
from edgeagent.agent.tools.sandbox.process import run_confined
from edgeagent.agent.tools.sandbox.limits import SandboxLimits
from edgeagent.agent.tools.sandbox.plan import Layers
layers = Layers(*[part == "True" for part in sys.argv[1:]])
run_confined("import time; time.sleep(1000)", SandboxLimits(wall_s=60), layers)
"""


@pytest.mark.parametrize("name", SETS)
def test_it_ends_with_a_parent_that_is_killed(name: str, tmp_path: Path) -> None:
    require(SETS[name])
    parent = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, SETS[name])],
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    confined = [2, 1][name == "landlock"]  # in a namespace, one waits for the other
    try:
        assert wait_for(lambda: len(leftovers(parent.pid)) == confined)
        time.sleep(0.3)  # for the code to begin
    finally:
        parent.kill()
        parent.wait()
    assert wait_for(lambda: leftovers(parent.pid) == [])


def wait_for(condition: Callable[[], bool]) -> bool:
    return any(condition() or time.sleep(0.05) for _ in range(400))


def leftovers(parent: int | None = None) -> list[str]:
    """Return the confined processes that a process started (this one) and that still exist."""
    time.sleep(0.05)
    marks = f", {parent or os.getpid()}]", "edgeagent.agent.tools.sandbox"
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            found += [line] if all(mark in line for mark in marks) else []
    return found


def test_a_scratch_folder_is_removed_whatever_is_in_it(tmp_path: Path) -> None:
    scratch, outside = tmp_path / "scratch", tmp_path / "outside"
    for folder in (scratch, outside):
        folder.mkdir()
        (folder / "file").write_text("")
    (scratch / "link").symlink_to(outside)
    (scratch / "d").mkdir()
    (scratch / "d" / "link").symlink_to(outside)
    (scratch / "d" / "e").mkdir()
    (scratch / "d" / "e").chmod(0)
    (scratch / "d").chmod(0o300)
    before = Path.cwd()
    os.chdir(scratch)
    try:
        for _ in range(1100):  # deeper than a path or Python's own functions can go
            os.mkdir("x")  # noqa: PTH102
            os.chdir("x")
    finally:
        os.chdir(before)
    remove_folder(str(scratch))
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert len(list(outside.iterdir())) == 1
    remove_folder(str(scratch))  # and nothing is raised if there is none
