"""What the paradigms of one loaded model share: engine, formats, budget, tools, conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeagent.agent.chat.conversation import Conversation
from edgeagent.agent.chat.template import ChatTemplate
from edgeagent.agent.chat.untrusted import neutralizer
from edgeagent.agent.formats import tool_format
from edgeagent.agent.tools.protocol import Tool
from edgeagent.config.run import Budget
from edgeagent.engine.protocol import Engine, Session


class Runtime:
    """Keeps one conversation per role, so that each role's prefix stays in its own KV cache."""

    def __init__(
        self,
        engine: Engine,
        tools: Sequence[Tool],
        budget: Budget | None = None,
        tool_call_format: str = "compact",
    ) -> None:
        """Prepare; caches are allocated when a role first speaks.

        Raises:
            EngineError: The model's chat template is not valid.
        """
        self.engine = engine
        self.budget = budget or Budget()
        self.format = tool_format(tool_call_format)
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self.neutralize = neutralizer(engine.control_tokens)
        self._template = ChatTemplate(engine.chat_template)
        self._conversations: dict[str, Conversation] = {}

    @property
    def grounded(self) -> bool:
        """Whether agents are limited to what the conversation states, see `Budget.grounding`."""
        return bool(self.budget.grounding)

    def conversation(self, role: str) -> Conversation:
        """Return the conversation of a role; opened at the first call."""
        if role not in self._conversations:
            self._conversations[role] = Conversation(
                self.engine, self._template, role, self.budget.max_context_len
            )
        return self._conversations[role]

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions that were opened so far."""
        return tuple(conversation.session for conversation in self._conversations.values())

    def select_tools(self, names: Sequence[str]) -> tuple[Tool, ...]:
        """Return the tools of these names that are there, in this order."""
        return tuple(self.tools[name] for name in names if name in self.tools)

    def close(self) -> None:
        """Free all caches."""
        for conversation in self._conversations.values():
            conversation.close()
        self._conversations.clear()
