"""Conversations for templates that lack something: a system role, a tool role, a place for tools.

What a template can do is found out by rendering small conversations, not by reading its source.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from edgeagent.errors import EngineError

Message = Mapping[str, Any]
Tools = Sequence[Mapping[str, object]] | None
Render = Callable[[Sequence[Message], Tools], str]

_PROBE = "probe{}x"
_TOOL: Mapping[str, object] = {
    "type": "function",
    "function": {
        "name": _PROBE.format(0),
        "description": "d",
        "parameters": {"type": "object", "properties": {}},
    },
}


class Adaptation:
    """Rewrites messages into what a template takes; for most templates they stay as they are."""

    def __init__(self, render: Render) -> None:
        """Take a function that renders messages and tools, or raises `EngineError`."""
        self._render = render

    def __call__(
        self, messages: Sequence[Message], tools: Tools
    ) -> tuple[list[Message], list[Mapping[str, object]] | None]:
        """Return messages and tools for the template."""
        adapted = list(messages)
        if tools and not self._shows_tools:
            adapted = _with_tools(adapted, tools, own_place=self._shows_tools_of_system)
        if any("tool_calls" in message or message["role"] in _TOOL_ROLES for message in adapted):
            adapted = [self._without_tool_role(message) for message in adapted]
        if adapted and adapted[0]["role"] == "system" and not self._has_system_role:
            adapted = _without_system(adapted)
        return adapted, list(tools) if tools else None

    def _shown(self, messages: Sequence[Message], tools: Tools = None) -> str:
        try:
            return self._render(messages, tools)
        except EngineError:
            return ""

    @cached_property
    def _has_system_role(self) -> bool:
        text = _PROBE.format(1)
        return text in self._shown([_message("system", text), _message("user", "u")])

    @cached_property
    def _shows_tools(self) -> bool:
        messages = [_message("system", "s"), _message("user", "u")]
        name = _PROBE.format(0)
        return name in self._shown(messages, [_TOOL]) or name in self._shown(messages[1:], [_TOOL])

    @cached_property
    def _shows_tools_of_system(self) -> bool:
        """Whether it takes them from the system message, as that of Phi-4-mini does."""
        messages = _with_tools([_message("system", "s")], [_TOOL], own_place=True)
        return _PROBE.format(0) in self._shown([*messages, _message("user", "u")])

    @cached_property
    def _has_tool_role(self) -> bool:
        text = _PROBE.format(2)
        call = {"name": "f", "arguments": {}}
        calls = [{"id": "abcdefgh1", "type": "function", "function": call}]
        result = {"role": "tool", "name": "f", "content": text, "tool_call_id": "abcdefgh1"}
        said = {"role": "assistant", "content": "", "tool_calls": calls}
        user = _message("user", "u")
        return any(
            text in self._shown([user, reply, result])
            for reply in (said, _message("assistant", "a"))
        )

    def _without_tool_role(self, message: Message) -> Message:
        """Return a result as a user turn where the template has no other place for it."""
        if message["role"] not in _TOOL_ROLES or self._has_tool_role:
            return message
        return _message("user", message["content"])


_TOOL_ROLES = frozenset({"tool"})


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _with_tools(
    messages: list[Message], tools: Sequence[Mapping[str, object]], *, own_place: bool
) -> list[Message]:
    """Return the messages with the tools in the system message.

    Args:
        messages: The conversation.
        tools: OpenAI function descriptions.
        own_place: Whether the template has a place for them there; else they are described below
            the instructions, one a line.
    """
    has_system = bool(messages) and messages[0]["role"] == "system"
    system = messages[0] if has_system else _message("system", "")
    others = messages[1:] if has_system else messages
    functions = [tool.get("function", tool) for tool in tools]
    if own_place:
        return [{**system, "tools": json.dumps(functions, ensure_ascii=False)}, *others]
    described = [json.dumps(function, ensure_ascii=False) for function in functions]
    lines = [system["content"], "Functions that you may call:", *described]
    return [{**system, "content": "\n".join(filter(None, lines))}, *others]


def _without_system(messages: list[Message]) -> list[Message]:
    """Put the system message in front of the first user turn, which may be nothing but that."""
    system, *others = messages
    if others and others[0]["role"] == "user":
        first = others[0]
        text = f"{system['content']}\n\n{first['content']}"
        return [{**first, "content": text}, *others[1:]]
    return [_message("user", system["content"]), *others]
