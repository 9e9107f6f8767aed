"""Logs of programs that edgeagent ran: kept when they failed, gone when all went well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from edgeagent.config.paths import home_dir

_KEPT = 20


@contextmanager
def log_file(name: str) -> Iterator[Path]:
    """Yield the path of a new log; it stays only if the block raises an error."""
    folder = home_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    _drop_old(folder)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = folder / f"{name}-{stamp}-{os.getpid()}.log"
    try:
        yield path
    except Exception:
        raise
    except BaseException:  # Ctrl-C: nothing went wrong that one would look up
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def _drop_old(folder: Path) -> None:
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
    for path in logs[:-_KEPT]:
        path.unlink(missing_ok=True)
