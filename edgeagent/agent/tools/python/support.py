"""Whether this machine can confine a process, found out by trying to break out of one."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgeagent.agent.tools.sandbox import breakout
from edgeagent.agent.tools.sandbox.landlock import landlock_version
from edgeagent.agent.tools.sandbox.limits import SandboxLimits
from edgeagent.agent.tools.sandbox.plan import Layers
from edgeagent.agent.tools.sandbox.process import Ending, Finished, run_confined
from edgeagent.errors import ResourceError

_LIMITS = SandboxLimits(wall_s=20.0)
"""Generous in time: a busy machine is no reason to be without the tool."""


@dataclass(frozen=True, slots=True)
class Support:
    """What this machine's sandbox consists of.

    Attributes:
        offered: Whether it holds; without it nothing is run.
        layers: What it is made of, as documents name it; empty if it is not offered.
        reason: Why it is not offered, empty if it is.
        plan: The layers for `run_confined`, `None` if it is not offered.
    """

    offered: bool
    layers: tuple[str, ...] = ()
    reason: str = ""
    plan: Layers | None = None

    def as_plain_data(self) -> dict[str, object]:
        """Return what a document says of it, as JSON data."""
        return {"offered": self.offered, "layers": list(self.layers), "reason": self.reason}


@cache
def sandbox_support() -> Support:
    """Return what this machine offers; the first call tries it, which takes part of a second."""
    if platform.system() != "Linux":
        system = {"Darwin": "macOS"}.get(platform.system(), platform.system())
        return _none(f"on {system} nothing bounds both files and memory of a process; use Linux")
    if not sys.executable or getattr(sys, "frozen", False):
        return _none("this program does not know its Python interpreter")
    return find_layers()


def find_layers(wanted: Layers | None = None) -> Support:
    """Return the sandbox of those layers that this machine has, after trying to break out of it.

    Args:
        wanted: What to look for, by default everything.
    """
    layers = wanted or Layers()
    missing: list[str] = []
    while layers.suffice:
        try:
            finished = run_confined(_attempts(), _LIMITS, layers)
        except ResourceError as error:
            return _none(str(error).rstrip("."))
        if finished.ending is not Ending.LAYER_MISSING:
            return _verdict(finished, layers)
        missing.append(finished.message)
        name = finished.message.partition(":")[0]
        if name not in Layers._fields:
            break
        layers = layers._replace(**{name: False})
    machine = platform.machine()
    return _none(f"this system ({machine}) has no sandbox for it: {'; '.join(missing)}")


def _verdict(finished: Finished, layers: Layers) -> Support:
    if finished.ending is not Ending.DONE:
        told = finished.message or finished.ending.value
        return _none(f"the sandbox cannot run Python here: {told}")
    try:
        broken_out = json.loads(finished.output)
    except ValueError:
        broken_out = ["say what it did"]
    if broken_out:
        return _none(f"the sandbox does not hold here, code in it can {', '.join(broken_out)}")
    names = {
        "seccomp": "seccomp",
        "landlock": f"Landlock {landlock_version()}",
        "namespaces": "namespaces",
    }
    present = tuple(text for name, text in names.items() if getattr(layers, name))
    return Support(offered=True, layers=(*present, "resource limits"), plan=layers)


def _none(reason: str) -> Support:
    return Support(offered=False, reason=reason)


def _attempts() -> str:
    """Return the code that tries to break out, with what it needs to know."""
    facts = {
        "outside": __file__,
        "folder": os.path.realpath(Path.home()),
        "parent": os.getpid(),
        "too_many_bytes": _LIMITS.memory_bytes + 1,
    }
    text = Path(breakout.__file__).read_text(encoding="utf-8")
    return f"{text}\nimport json\nprint(json.dumps(broken_out(**{facts!r})))\n"
