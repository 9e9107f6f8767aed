"""Which role speaks in which session: one each where memory allows, else a shared one.

A session of its own keeps a role's prefix in the KV cache. Where caches do not fit, roles of one
model share a session: each turn rewinds it to what the two roles have in common and prefills the
rest again, which costs time and saves memory.
"""

from __future__ import annotations

from collections.abc import Callable

import psutil

from edgeagent.agent.chat.conversation import Conversation
from edgeagent.agent.models import Model
from edgeagent.config.cgroup import memory_headroom_bytes, memory_limit_bytes
from edgeagent.config.run import Budget
from edgeagent.engine.protocol import Session

MARGIN_SHARE = 0.1
"""Part of the memory that further sessions leave free: for activations, tools and everything else
that runs on the device. A choice, not a measurement."""

AvailableBytes = Callable[[], int]
"""Returns how much memory sessions may still take, in bytes."""


def available_bytes() -> int:
    """Return the memory that this process may still use, less the margin."""
    memory = psutil.virtual_memory()
    limit, headroom = memory_limit_bytes(), memory_headroom_bytes()
    total = memory.total if limit is None else min(memory.total, limit)
    available = memory.available if headroom is None else min(memory.available, headroom)
    return int(available - MARGIN_SHARE * total)


class Sessions:
    """The conversations of all roles."""

    def __init__(self, budget: Budget, available: AvailableBytes = available_bytes) -> None:
        """Prepare; nothing is opened yet.

        Args:
            budget: Length of a session, and whether the user decided who shares one.
            available: Asked before a session is opened that could be shared instead.
        """
        self._budget = budget
        self._available = available
        self._conversations: dict[tuple[str, int, str | None], Conversation] = {}
        self._first: dict[tuple[int, str | None], Conversation] = {}
        self._opened: list[tuple[Session, Model]] = []
        self._budget_bytes: int | None = None

    @property
    def are_shared(self) -> bool:
        """Whether some roles share a session by now."""
        return len(self._conversations) > len(self._opened)

    @property
    def opened(self) -> tuple[tuple[Session, Model], ...]:
        """The sessions that were opened so far, each with its model."""
        return tuple(self._opened)

    def context_len(self, model: Model) -> int:
        """Return the tokens that a session of this model gets."""
        return min(self._budget.max_context_len, model.engine.info.context_len)

    def conversation(self, role: str, model: Model, adapter: str | None) -> Conversation:
        """Return the conversation of a role, opened at the first call.

        Raises:
            ResourceError: There is not enough memory for the only session of a model.
            EngineError: The model has no such adapter, or the runtime refused.
        """
        # Keys and values of one model or adapter are wrong under another.
        voice = (id(model.engine), adapter)
        key = (role, *voice)
        if key not in self._conversations:
            first = self._first.get(voice)
            if first is not None and self._shares(model):
                self._conversations[key] = first.for_role(role)
            else:
                self._conversations[key] = self._open(role, model, adapter)
                self._first.setdefault(voice, self._conversations[key])
        return self._conversations[key]

    def close(self) -> None:
        """Free all caches."""
        for session, _ in self._opened:
            session.close()
        self._opened.clear()
        self._conversations.clear()
        self._first.clear()
        self._budget_bytes = None

    def _open(self, role: str, model: Model, adapter: str | None) -> Conversation:
        if self._budget_bytes is None:
            self._budget_bytes = self._available()
        session = model.engine.open(self.context_len(model), adapter)
        self._opened.append((session, model))
        self._budget_bytes -= self._session_bytes(model)
        return Conversation(model, role, session)

    def _shares(self, model: Model) -> bool:
        """Whether another role of this model has to share a session."""
        if self._budget.sessions is not None:
            return self._budget.sessions == "shared"
        # Systems hand out pages of a cache when they are first written, so what is available now
        # may still hold caches that were opened before: those are counted here.
        left = self._available()
        if self._budget_bytes is not None:
            left = min(left, self._budget_bytes)
        return self._session_bytes(model) > left

    def _session_bytes(self, model: Model) -> int:
        return self.context_len(model) * (model.engine.info.kv_bytes_per_token or 0)
