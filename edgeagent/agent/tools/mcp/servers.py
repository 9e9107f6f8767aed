"""Servers of a tools file, and their tools as agents see them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from edgeagent.agent.tools.mcp.budget import Shown, fit
from edgeagent.agent.tools.mcp.results import result_text
from edgeagent.agent.tools.mcp.schemas import UnsupportedSchemaError, simplify
from edgeagent.agent.tools.mcp.session import (
    MAX_TOOLS,
    Launch,
    ServerGoneError,
    Session,
    require_mcp,
)
from edgeagent.agent.tools.mcp.texts import plain_name, plain_text
from edgeagent.agent.tools.program import environment
from edgeagent.agent.tools.protocol import JsonSchema, Tool
from edgeagent.agent.tools.said import offer_said
from edgeagent.config.tools_file import McpServerSpec, ToolsFile
from edgeagent.errors import ConfigError, ToolError

if TYPE_CHECKING:
    from mcp.types import CallToolResult
    from mcp.types import Tool as OfferedTool

MAX_RESTARTS = 1
"""A server that ends a second time is left alone: something is wrong with it."""


class Box(Protocol):
    """Where opened tools go."""

    tools: tuple[Tool, ...]

    def add(self, where: str, tools: tuple[Tool, ...]) -> None:
        """Take tools over."""
        ...

    def closing(self, close: Callable[[], object]) -> None:
        """Close something later."""
        ...


class McpServer:
    """A server that is started again once if it ends by itself; thread-safe.

    Attributes:
        call_timeout_s: Longest time of one call.
    """

    def __init__(self, launch: Launch, call_timeout_s: float) -> None:
        """Start it.

        Raises:
            ServerGoneError: It cannot be started.
            MissingExtraError: The package `mcp` is not installed.
        """
        self._launch = launch
        self.call_timeout_s = call_timeout_s
        self._lock = threading.Lock()
        self._restarts = 0
        self._is_closed = False
        self._session = Session(launch)

    @property
    def offered(self) -> tuple[OfferedTool, ...]:
        """The tools as the server describes them."""
        return self._session.tools

    def call(self, tool: str, arguments: Mapping[str, object]) -> CallToolResult:
        """Call a tool.

        A call during which the server ended is not repeated: nobody knows what it did already.

        Raises:
            ToolError: It failed, took too long, or the server is gone.
        """
        session = self._session
        try:
            return session.call(tool, arguments, self.call_timeout_s)
        except ServerGoneError as error:
            again = self._restart(session)
            what = "it was started again, try once more" if again else "it is not started again"
            said = session.last_words()
            reason = f" ({said})" if said else ""
            raise ToolError(f"the server {self._launch.name} has ended{reason}; {what}") from error

    def close(self) -> None:
        """End it; idempotent."""
        with self._lock:
            self._is_closed = True
            self._session.close()

    def _restart(self, gone: Session) -> bool:
        """Start the server anew, once in all; return whether there is one now."""
        with self._lock:
            gone.close()
            if self._session is not gone:
                return True  # another call noticed first
            if self._is_closed or self._restarts >= MAX_RESTARTS:
                return False
            self._restarts += 1
            try:
                self._session = Session(self._launch)
            except (ServerGoneError, ConfigError):
                return False
            return True


class McpTool:
    """One tool of a server.

    Attributes:
        server: Where it is called.
    """

    is_delegate = False

    def __init__(self, server: McpServer, original_name: str, shown: Shown) -> None:
        """Offer a tool under the name, description and schema that models are shown."""
        self.server = server
        self._original_name = original_name
        self.name = shown.name
        self.description = shown.description
        self.parameters: JsonSchema = shown.parameters

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer arguments made of what was said, if its words are about the question."""
        return offer_said(self, question, results)

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return what the server answers.

        Raises:
            ToolError: It failed, took too long, or the server is gone.
        """
        return result_text(self.server.call(self._original_name, arguments))


def open_servers(
    box: Box,
    file: ToolsFile,
    *,
    count_tokens: Callable[[str], int],
    on_note: Callable[[str], None],
    on_progress: Callable[[str], None],
) -> None:
    """Start the servers of a tools file and put their tools into a box.

    Raises:
        ConfigError: A server cannot be started, or lacks a tool that the file names.
        MissingExtraError: The package `mcp` is not installed.
    """
    require_mcp()
    for name, spec in file.spec.mcp.items():
        where = f"{file.path}: mcp.{name}"
        on_progress(f"starting MCP server {name}")
        server = _start(name, spec, file, where)
        box.closing(server.close)
        taken = {tool.name for tool in box.tools}
        for offered, wanted in _wanted(server, spec, where, on_note):
            title = f"The tool {plain_text(offered.name, 60)!r} of the MCP server {name}"
            shown = _shown(offered, wanted, name, taken)
            if isinstance(shown, str):
                on_note(f"{title} is left out: {shown}.")
                continue
            fitting = fit(shown, count_tokens, spec.max_tokens)
            if fitting is None:
                on_note(
                    f"{title} is left out: its arguments need more than {spec.max_tokens} tokens; "
                    "raise max_tokens."
                )
                continue
            taken.add(fitting.name)
            box.add(where, (McpTool(server, offered.name, fitting),))


def _start(name: str, spec: McpServerSpec, file: ToolsFile, where: str) -> McpServer:
    launch = Launch(
        name=name,
        command=(file.program(spec.command), *spec.args),
        environment=environment(spec, where),
        folder=file.resolve(spec.cwd),
        start_timeout_s=spec.start_timeout_s,
        log=file.resolve(spec.log) if spec.log else None,
    )
    if not launch.folder.is_dir():
        raise ConfigError(f"{where}: cwd: {launch.folder} is not a folder.")
    try:
        return McpServer(launch, spec.call_timeout_s)
    except ServerGoneError as error:
        raise ConfigError(f"{where}: {spec.command!r} cannot be used: {error}.") from error


def _wanted(
    server: McpServer, spec: McpServerSpec, where: str, on_note: Callable[[str], None]
) -> list[tuple[OfferedTool, str]]:
    """Return the tools that the user allows, and what agents shall call them."""
    offered = {tool.name: tool for tool in server.offered[:MAX_TOOLS]}
    if len(server.offered) > MAX_TOOLS and spec.tools is None:
        on_note(f"{where}: only the first {MAX_TOOLS} tools are taken; choose some with `tools`.")
    names = tuple(offered) if spec.tools is None else spec.tools
    if missing := [name for name in (*names, *spec.rename) if name not in offered]:
        there = ", ".join(plain_text(name, 60) for name in offered) or "none"
        raise ConfigError(f"{where}: the server has no tool {missing[0]!r}; it has: {there}.")
    return [(offered[name], spec.rename.get(name, "")) for name in names]


def _shown(offered: OfferedTool, wanted: str, server: str, taken: set[str]) -> Shown | str:
    """Return what models shall see of a tool, or why it cannot be used."""
    name = wanted or plain_name(offered.name)
    if not name:
        return "its name cannot be written; give it one with `rename`"
    if name in taken and not wanted:
        name = plain_name(f"{server}_{name}")
    if name in taken:
        return f"there already is a tool {name!r}; give it another name with `rename`"
    description = plain_text(offered.description or offered.title or "")
    if not description:
        description = f"The tool {name} of {server}."
    try:
        return Shown(name, description, simplify(offered.input_schema))
    except UnsupportedSchemaError as error:
        return str(error)
