"""Running other people's tools: off the network, everything they print in a log, ended in order."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from edgeagent.errors import ConfigError, ExportError
from edgeagent.privacy import disable_dependency_telemetry

_POLL_S = 0.1
_END_S = 5.0
_KEPT_LINES = 200
_MAX_LINE = 2000
_SHOWN = 300

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_DROPPED = ("PYTHON", "VIRTUAL_ENV", "CONDA_", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""What belongs to another interpreter, and secrets that no tool here needs."""

_ISOLATED = ("-I", "-X", "utf8")
"""No PYTHON* variables, no user site, not the working directory; text is UTF-8 everywhere."""

_EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)|ERROR): ?\S")
_NOISE = re.compile(
    r"^\s|\d+%\||it/s\]|Warning: |^WARNING|\[(?:INFO|WARNING)\]|^Traceback|^\[notice\]|^$"
)


def isolated(python: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command that runs an interpreter apart from this one's settings."""
    return [str(python), *_ISOLATED, *arguments]


def child_environment(scratch: Path | None = None) -> dict[str, str]:
    """Return the variables of a child: no telemetry, no network, caches in a folder of its own.

    Args:
        scratch: Folder for the child's caches and temporary files; `None` for programs that need
            the network and the user's own caches, which are those that install packages.
    """
    disable_dependency_telemetry()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    if scratch is not None:
        temporary = scratch / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        variables |= _OFFLINE | {"HF_HOME": str(scratch / "hf")}
        variables |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    return variables


def run_child(
    command: Sequence[str],
    *,
    what: str,
    log: Path,
    environment: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None],
) -> None:
    """Run a program to its end.

    Ctrl-C, and whatever `on_line` raises, ends the program and all its children first.

    Args:
        command: The program and its arguments.
        what: What it is, the subject of the error message, such as `The model builder`.
        log: What it prints is appended here.
        environment: All of its variables.
        cwd: Its working directory.
        on_line: Told every line that it prints, and every state of a progress bar.

    Raises:
        ConfigError: It cannot be started.
        ExportError: It failed.
    """
    last: list[str] = []
    with log.open("ab") as file, _started(command, environment, cwd) as process:
        file.write(f"$ {subprocess.list2cmdline(command)}\n".encode())
        for raw in _lines(process, file):
            line = raw[:_MAX_LINE].decode("utf-8", "replace").rstrip()
            last.append(line)
            del last[:-_KEPT_LINES]
            on_line(line)
        status = process.wait()
    if status != 0:
        reason = telling_line(last) or f"it ended with status {status}"
        raise ExportError(f"{what} failed: {reason.rstrip('.')}; all it printed is in {log}.")


def telling_line(lines: Sequence[str]) -> str:
    """Return the line that says best why a program failed: its last exception, else its last."""
    for line in reversed(lines):
        if _EXCEPTION.match(line):
            return line[:_SHOWN]
    for line in reversed(lines):
        if not _NOISE.search(line):
            return line[:_SHOWN]
    return ""


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=cwd,
            **_own_group(),
        )
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be started: {error.strerror}.") from error
    try:
        yield process
    except BaseException:
        end_tree(process)
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _own_group() -> dict[str, Any]:
    """A terminal's Ctrl-C reaches only this process, which ends the child in order."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything that it started; returns when they are gone."""
    import psutil

    with suppress(psutil.Error):
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
        for member in family:
            with suppress(psutil.Error):
                member.terminate()
        _, alive = psutil.wait_procs(family, timeout=_END_S)
        for member in alive:
            with suppress(psutil.Error):
                member.kill()
    process.wait()


def _lines(process: subprocess.Popen[bytes], log: IO[bytes]) -> Iterator[bytes]:
    """Yield lines while they come; a thread reads, so that Ctrl-C is seen on every platform."""
    arrived: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    stream = cast("IO[bytes]", process.stdout)

    def read() -> None:
        with suppress(OSError, ValueError):  # closed under the reader when the child was ended
            while chunk := os.read(stream.fileno(), 1 << 16):
                arrived.put(chunk)
        arrived.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    rest = b""
    while True:
        try:
            chunk = arrived.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if chunk is None:
            break
        log.write(chunk)
        log.flush()
        # Progress bars end their lines with a carriage return.
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        yield from whole
    reader.join()
    if rest:
        yield rest
