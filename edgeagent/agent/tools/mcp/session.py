"""A running server: its process, its event loop in a thread of its own, calls from any thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeagent.agent.tools.mcp.error_log import ErrorLog
from edgeagent.agent.tools.mcp.texts import plain_text
from edgeagent.errors import MissingExtraError, ToolError

if TYPE_CHECKING:
    import anyio
    from mcp.client import Client
    from mcp.types import CallToolResult, Tool

MAX_TOOLS = 128
_MAX_PAGES = 32
_CLOSE_TIMEOUT_S = 15.0
"""The SDK gives a server two seconds to end by itself, two after SIGTERM, two after SIGKILL."""

_GRACE_S = 5.0
"""What a wait in this thread has over the timeout in the other one, which knows the reason."""

_ResultT = TypeVar("_ResultT")


class ServerGoneError(Exception):
    """The server's process has ended, or the connection to it; the message says why if it did."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started.

    Attributes:
        name: As the user calls it.
        command: Program and arguments.
        environment: All of its variables.
        folder: Working directory.
        start_timeout_s: Longest time until it has told its tools.
        log: File for its standard error.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    start_timeout_s: float
    log: Path | None = None


class Session:
    """One process of a server.

    Attributes:
        tools: What it offers.
    """

    def __init__(self, launch: Launch) -> None:
        """Start the server and ask for its tools.

        Raises:
            ServerGoneError: It cannot be started, ended, spoke something else or took too long.
            ConfigError: The log cannot be written.
            MissingExtraError: The package `mcp` is not installed.
        """
        require_mcp()
        self._launch = launch
        self._log = ErrorLog(launch.log)
        self._state = _State()
        self._thread = threading.Thread(target=self._run, name=f"mcp {launch.name}", daemon=True)
        self._thread.start()
        try:
            self.tools: tuple[Tool, ...] = self._state.ready.result(
                launch.start_timeout_s + _GRACE_S
            )
        except (ServerGoneError, concurrent.futures.TimeoutError) as error:
            self.close()
            reason = str(error) or _took_too_long(launch)
            said = self.last_words()
            raise ServerGoneError(f"{reason} ({said})" if said else reason) from error
        except BaseException:
            self.close()
            raise

    def call(self, tool: str, arguments: Mapping[str, object], timeout_s: float) -> CallToolResult:
        """Call a tool; several threads may do so at once.

        Raises:
            ServerGoneError: The server is gone.
            ToolError: It refused, or did not answer in time.
        """
        return self._in_loop(self._call(tool, dict(arguments), timeout_s), timeout_s + _GRACE_S)

    def close(self) -> None:
        """End the server and what it started; idempotent."""
        state = self._state
        if state.loop is not None and state.scope is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                state.loop.call_soon_threadsafe(state.scope.cancel)
        self._thread.join(_CLOSE_TIMEOUT_S)
        self._log.close()

    def last_words(self) -> str:
        """Return the last line that it wrote to its standard error, empty if there is none."""
        return plain_text(self._log.last_line(), 200).rstrip(".")

    def _in_loop(self, work: Coroutine[Any, Any, _ResultT], timeout_s: float) -> _ResultT:
        loop = self._state.loop
        if loop is None or self._state.client is None:
            work.close()
            raise ServerGoneError("it has ended")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.CancelledError:
            raise ServerGoneError("it was closed") from None
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise ToolError(f"the server {self._launch.name} did not answer in time") from None
        except BaseException:
            future.cancel()  # Ctrl-C in this thread ends the wait in the other one
            raise

    async def _call(
        self, tool: str, arguments: dict[str, object], timeout_s: float
    ) -> CallToolResult:
        import anyio
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT
        from pydantic import ValidationError

        client = self._state.client
        if client is None:
            raise ServerGoneError("it has ended")
        try:
            return await client.call_tool(tool, arguments, read_timeout_seconds=timeout_s)
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                raise ServerGoneError("it has ended") from error
            if error.code == REQUEST_TIMEOUT:
                raise ToolError(
                    f"the server {self._launch.name} did not answer within {timeout_s:g} s"
                ) from error
            raise ToolError(f"the server refused: {plain_text(str(error), 300)}") from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise ServerGoneError("it has ended") from error
        except (ValidationError, RuntimeError) as error:
            reason = plain_text(str(error), 200)
            raise ToolError(f"the server's answer is not valid: {reason}") from error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._state.fail(error)
        finally:
            self._state.client = None
            self._state.fail(ServerGoneError("it has ended"))

    async def _serve(self) -> None:
        """Keep the connection open until it is closed from outside."""
        import anyio
        from mcp.client import Client
        from mcp.client.stdio import StdioServerParameters, stdio_client

        launch, state = self._launch, self._state
        server = StdioServerParameters(
            command=launch.command[0],
            args=list(launch.command[1:]),
            env=dict(launch.environment),
            cwd=launch.folder,
            encoding_error_handler="replace",
        )
        state.loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            state.scope = scope
            scope.deadline = anyio.current_time() + launch.start_timeout_s
            async with Client(stdio_client(server, errlog=self._log.stream), cache=None) as client:
                tools = await _tools_of(client)
                scope.deadline = float("inf")
                state.client = client
                state.ready.set_result(tools)
                await anyio.sleep_forever()
        if not state.ready.done():
            raise ServerGoneError(_took_too_long(launch))


@dataclass
class _State:
    """What the thread of a session shares with its callers."""

    ready: concurrent.futures.Future[tuple[Tool, ...]] = field(
        default_factory=concurrent.futures.Future
    )
    loop: asyncio.AbstractEventLoop | None = None
    scope: anyio.CancelScope | None = None
    client: Client | None = None

    def fail(self, error: BaseException) -> None:
        """Tell who waits for the start that it failed."""
        if self.ready.done():
            return
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        reason = error.strerror if isinstance(error, OSError) else str(error)
        gone = ServerGoneError(plain_text(reason or type(error).__name__, 200).rstrip("."))
        self.ready.set_exception(error if isinstance(error, ServerGoneError) else gone)


async def _tools_of(client: Client) -> tuple[Tool, ...]:
    found: list[Tool] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) > MAX_TOOLS:
            break
    return tuple(found)


def _took_too_long(launch: Launch) -> str:
    return f"it did not tell its tools within {launch.start_timeout_s:g} s"


def require_mcp() -> None:
    """Check that the package `mcp` is there, and keep its log records off the terminal.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "MCP servers need an optional package; install it with: pip install 'edgeagent[mcp]'"
        ) from error
    # Without any handler, Python writes warnings of libraries to the terminal.
    logger = logging.getLogger("mcp")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
