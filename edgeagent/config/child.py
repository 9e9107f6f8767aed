"""Starting processes of our own that measure or are measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def python_module(module: str) -> list[str]:
    """Return the command that runs a module with this interpreter.

    With `-P`, a file of the working directory cannot stand in for a module.
    """
    return [sys.executable, "-P", "-m", module]


def child_options() -> dict[str, Any]:
    """Return `Popen` options for such a process.

    It imports from the same places as this one, and it is in a process group of its own: a
    terminal's Ctrl-C reaches only this process, which ends its children in order.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    options: dict[str, Any] = {"env": os.environ | {"PYTHONPATH": path}}
    if sys.platform == "win32":
        return options | {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return options | {"process_group": 0}
