"""Running pip as a program of its own, so that every index setting of the user counts."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from edgeagent.config.child import child_options, python_module
from edgeagent.errors import SourceError

_POLL_S = 0.1


def run_pip(arguments: Sequence[str], work: Path, what: str, on_poll: Callable[[], None]) -> None:
    """Run a command of pip that leaves nothing outside `work`, and wait for it.

    Args:
        arguments: The command and its arguments.
        work: Folder for its temporary files and its log.
        what: What it is for, to begin an error message with.
        on_poll: Called while it runs.

    Raises:
        SourceError: There is no pip, or it failed; the message holds its reason.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceError(
            "pip is not installed in this Python environment; install it with"
            " `python -m ensurepip` (or `uv pip install pip`)."
        )
    temporary, log = work / "tmp", work / "pip.log"
    temporary.mkdir(exist_ok=True)
    options = child_options()
    options["env"] |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), os.fspath(temporary))
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [*python_module("pip"), *arguments, "--no-input", "--disable-pip-version-check"],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            **options,
        )
        try:
            while process.poll() is None:
                on_poll()
                time.sleep(_POLL_S)
        finally:
            _end(process)
    if process.returncode != 0:
        raise SourceError(f"{what}: {_reason(log)}.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End pip and what it started, if it still runs; all its files are ours to remove."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):  # it ended just now
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own
    process.wait()


def _reason(log: Path) -> str:
    """Return the last line that pip marked as an error, else its last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    errors = [line.strip() for line in lines if line.strip().startswith("ERROR:")]
    last = (errors or lines or ["pip said nothing"])[-1]
    return last.removeprefix("ERROR:").strip().rstrip(".")[:300]
