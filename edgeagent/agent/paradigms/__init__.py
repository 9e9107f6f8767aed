"""Paradigms by name; a new one is a file here and a line below."""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.escalate import Escalate
from edgeagent.agent.paradigms.multi import Multi
from edgeagent.agent.paradigms.plan import Plan
from edgeagent.agent.paradigms.protocol import Paradigm
from edgeagent.agent.paradigms.single import Single
from edgeagent.agent.paradigms.vote import Vote
from edgeagent.agent.runtime import Runtime
from edgeagent.errors import ConfigError

_PARADIGMS: dict[str, Callable[[Runtime], Paradigm]] = {
    Base.name: Base,
    Single.name: Single,
    Multi.name: Multi,
    Plan.name: Plan,
    Vote.name: Vote,
    Escalate.name: Escalate,
}

PARADIGM_NAMES = tuple(_PARADIGMS)
"""All built-in paradigms; see `catalog` for those of plugins and team files."""

DEFAULT_PARADIGMS = (Base.name, Single.name, Multi.name)
"""What a profile compares when nobody names any."""


def make_paradigm(name: str, runtime: Runtime) -> Paradigm:
    """Return a paradigm that works with this runtime.

    Raises:
        ConfigError: There is no paradigm of that name.
    """
    if name not in _PARADIGMS:
        raise ConfigError(f"There is no paradigm {name!r}; choose {', '.join(PARADIGM_NAMES)}.")
    return _PARADIGMS[name](runtime)
