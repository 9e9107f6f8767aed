"""Tries to break out of the sandbox; run inside, it tells what it could do.

Its text is what is run, with a call behind it; so it needs nothing but the standard library.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path


def broken_out(outside: str, folder: str, parent: int, too_many_bytes: int) -> list[str]:
    """Return what could be done although it must not.

    Args:
        outside: A file that exists.
        folder: Where the user can write.
        parent: A process of the user.
        too_many_bytes: More than the memory limit.
    """
    attempts: dict[str, Callable[[], object]] = {
        "read files": lambda: Path(outside).read_bytes(),
        "write files": lambda: (Path(folder) / ".edgeagent-broke-out").write_text(""),
        "change files": lambda: os.utime(outside),
        "read the environment": lambda: Path("/proc/self/environ").read_bytes(),
        "use the network": lambda: socket.socket(socket.AF_INET),
        "talk to local programs": lambda: socket.socket(socket.AF_UNIX),
        "start processes": os.fork,
        "start programs": lambda: os.execv("/bin/sh", ["sh"]),
        "signal processes": lambda: os.kill(parent, 0),
        "use too much memory": lambda: bytearray(too_many_bytes),
    }
    done = [name for name, attempt in attempts.items() if _works(attempt)]
    # The first sets the interpreter itself, the second is how it was started.
    if set(os.environ) - {"LC_CTYPE", "PYTHONHASHSEED"}:
        done.append("inherit the environment")
    return done


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError):
        return False
    return True
