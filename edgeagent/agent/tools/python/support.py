"""Whether this machine can confine a process, found out by trying to break out of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Support:
    """What this machine's sandbox consists of.

    Attributes:
        offered: Whether it holds; without it nothing is run.
        layers: What it is made of, as documents name it; empty if it is not offered.
        reason: Why it is not offered, empty if it is.
    """

    offered: bool
    layers: tuple[str, ...] = ()
    reason: str = ""


@cache
def sandbox_support() -> Support:
    """Return what this machine offers; the first call tries it, which takes part of a second."""
    return Support(offered=False, reason="this version has no sandbox for this system yet")
