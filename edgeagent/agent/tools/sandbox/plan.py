"""What a confined process is told: its layers and limits, as JSON on its command line."""

from __future__ import annotations

import json
from typing import NamedTuple

from edgeagent.agent.tools.sandbox.limits import SandboxLimits


class Layers(NamedTuple):
    """What confines a process beside resource limits, which always do.

    Attributes:
        seccomp: A filter of system calls: one process, one thread, no network, no signals.
        landlock: Files can be opened in a few folders only.
        namespaces: An empty network, a file tree that has only a few folders, nobody's processes.
    """

    seccomp: bool = True
    landlock: bool = True
    namespaces: bool = True

    @property
    def suffice(self) -> bool:
        """Whether this is a sandbox: calls are filtered, and files are behind one wall at least."""
        return self.seccomp and (self.landlock or self.namespaces)


class Plan(NamedTuple):
    """All that a confined process needs to know.

    Attributes:
        layers: What must confine it; if one cannot, it ends.
        limits: What it may use.
        scratch: The folder for its files, or where its file tree is mounted; empty.
        parent: The process that started it, without which it ends.
    """

    layers: Layers
    limits: SandboxLimits
    scratch: str
    parent: int

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps([list(self.layers), list(self.limits), self.scratch, self.parent])

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return what `to_json` wrote."""
        layers, limits, scratch, parent = json.loads(text)
        return cls(Layers(*layers), SandboxLimits(*limits), scratch, parent)
