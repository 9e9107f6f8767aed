"""A tool that several agents use for the same task: equal calls are run once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Lock
from typing import Any

from edgeagent.agent.tools.protocol import JsonSchema, Tool, ToolResult


class SharedTool:
    """Passes everything on to a tool, and remembers what it answered until `begin`.

    What the tool raised is remembered as well, so all agents see the same.
    """

    def __init__(self, tool: Tool) -> None:
        """Share a tool, which its owner closes."""
        self._tool = tool
        self._lock = Lock()
        self._answers: dict[str, Future[str | ToolResult]] = {}

    @property
    def name(self) -> str:
        """The tool's name."""
        return self._tool.name

    @property
    def is_delegate(self) -> bool:
        """Whether it is another agent."""
        return self._tool.is_delegate

    @property
    def description(self) -> str:
        """The tool's description."""
        return self._tool.description

    @property
    def parameters(self) -> JsonSchema:
        """The tool's arguments."""
        return self._tool.parameters

    def __getattr__(self, name: str) -> Any:
        """Return what only some tools have, such as `offer` and `examples`."""
        return getattr(self._tool, name)

    def begin(self) -> None:
        """Start a new task: what was answered before is forgotten."""
        with self._lock:
            self._answers.clear()

    def run(self, arguments: Mapping[str, object]) -> str | ToolResult:
        """Return the tool's answer, from an equal call if there was one.

        Raises:
            ToolError: As the tool.
        """
        key = json.dumps(arguments, sort_keys=True, default=str)
        with self._lock:
            is_first = key not in self._answers
            answer = self._answers.setdefault(key, Future())
        if is_first:
            try:
                answer.set_result(self._tool.run(arguments))
            except BaseException as error:
                answer.set_exception(error)
                raise
        return answer.result()
