"""What the paradigms of a run share: models, budget, tools, memory and conversations."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from edgeagent.agent.chat.conversation import Conversation
from edgeagent.agent.formats.protocol import Example
from edgeagent.agent.groups import Groups, Rows
from edgeagent.agent.models import Model, OpenModel, model_of
from edgeagent.agent.sessions import AvailableBytes, Sessions, available_bytes
from edgeagent.agent.tools.protocol import Tool
from edgeagent.config.run import Budget
from edgeagent.engine.protocol import Engine, Session
from edgeagent.errors import ConfigError


class Recall(Protocol):
    """A memory of solved tasks."""

    def examples(self, question: str, tools: Collection[str]) -> tuple[Example, ...]:
        """Return similar past successes as worked examples, most similar last.

        Args:
            question: What is asked now.
            tools: Names of the tools that the agent has; an example uses no other.

        Raises:
            EdgeAgentError: The memory cannot be read.
        """
        ...


class Runtime:
    """Keeps the models and the conversations of all roles, see `sessions`."""

    def __init__(
        self,
        engine: Engine,
        tools: Sequence[Tool],
        budget: Budget | None = None,
        tool_call_format: str = "compact",
        *,
        open_model: OpenModel | None = None,
        memory: Recall | None = None,
        available: AvailableBytes = available_bytes,
    ) -> None:
        """Prepare; caches are allocated when a role first speaks.

        Args:
            engine: The model of all roles that name no other; its owner closes it.
            tools: What agents may call.
            budget: Limits of one task.
            tool_call_format: How `engine`'s model writes calls.
            open_model: Loads the models that roles name, closed together with the runtime.
            memory: Solved tasks to learn from.
            available: Tells how much memory sessions may take, see `sessions`.

        Raises:
            EngineError: The model's chat template is not valid.
        """
        self.budget = budget or Budget()
        self.main = model_of(engine, tool_call_format, grounded=bool(self.budget.grounding))
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self.memory = memory
        self.may_send = True
        """Whether servers that teams name may be asked; not while a paradigm is only tried out."""
        self._open_model = open_model
        self._further: dict[str, Model] = {}
        self._sessions = Sessions(self.budget, available)
        self._groups = Groups()

    @property
    def engine(self) -> Engine:
        """The engine of the main model."""
        return self.main.engine

    def model(self, name: str | None = None) -> Model:
        """Return a model by the name that a role gives, loaded at its first use; `None`: the main.

        Raises:
            ConfigError: There is nothing to load further models with.
            EdgeAgentError: It cannot be loaded.
        """
        if name is None:
            return self.main
        if name not in self._further:
            if self._open_model is None:
                raise ConfigError(f"The model {name!r} cannot be loaded here; leave it out.")
            self._further[name] = self._open_model(name)
        return self._further[name]

    def check_model(self, name: str | None) -> None:
        """Refuse a name that stands for no model, without loading it.

        Raises:
            ConfigError: It stands for nothing, or there is nothing to load further models with.
        """
        if name is None or name in self._further:
            return
        if self._open_model is None:
            raise ConfigError(f"The model {name!r} cannot be loaded here; leave it out.")
        check = getattr(self._open_model, "check", None)
        if check is not None:
            check(name)

    def with_model(self, name: str | None) -> Runtime:
        """Return a view whose main model is another one; all else is the same, and shared.

        It is closed together with the runtime that it is a view of.

        Raises:
            EdgeAgentError: As `model`.
        """
        view = copy.copy(self)
        view.main = self.model(name)
        return view

    def conversation(
        self, role: str, *, model: str | None = None, adapter: str | None = None
    ) -> Conversation:
        """Return the conversation of a role; opened at the first call.

        Raises:
            EdgeAgentError: The model cannot be loaded, or a session of it cannot be opened.
        """
        return self._sessions.conversation(role, self.model(model), adapter)

    def rows(
        self,
        group: str,
        names: Sequence[str],
        *,
        model: str | None = None,
        adapter: str | None = None,
    ) -> Rows:
        """Return conversations whose turns decode together; opened at the first call.

        Args:
            group: What they are called together.
            names: What each is called.
            model: Who speaks in all of them, `None` for the main model.
            adapter: LoRA adapter of that model, `None` for none.

        Raises:
            EdgeAgentError: The model cannot be loaded, or the sessions cannot be opened.
        """
        found = self.model(model)
        return self._groups.rows(group, names, found, self.context_len(found), adapter)

    def context_len(self, model: Model) -> int:
        """Return the tokens that a session of this model gets."""
        return self._sessions.context_len(model)

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions that were opened so far, those of groups among them."""
        return tuple(session for session, _ in self._opened())

    def kv_cache_bytes(self) -> int | None:
        """Return the size of all KV caches that were opened so far, `None` if it is not known."""
        sizes = [
            None
            if (per_token := model.engine.info.kv_bytes_per_token) is None
            else per_token * session.max_context_len
            for session, model in self._opened()
        ]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _opened(self) -> tuple[tuple[Session, Model], ...]:
        return (*self._sessions.opened, *self._groups.opened)

    @property
    def shares_sessions(self) -> bool:
        """Whether some roles share a session, by the budget or for lack of memory."""
        return self._sessions.are_shared

    def select_tools(self, names: Sequence[str]) -> tuple[Tool, ...]:
        """Return the tools of these names that are there, in this order; `*` is all others."""
        found: dict[str, Tool] = {}
        for name in names:
            if name == "*":
                found |= {key: tool for key, tool in self.tools.items() if key not in names}
            elif name in self.tools:
                found[name] = self.tools[name]
        return tuple(found.values())

    def close(self) -> None:
        """Free all caches, and the models that were loaded for roles."""
        self._sessions.close()
        self._groups.close()
        for model in self._further.values():
            model.engine.close()
        self._further.clear()
