"""The tools of a workspace: opened together, closed together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from edgeagent.agent.plugins import load_plugin
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.agent.tools.dates import Dates
from edgeagent.agent.tools.program import CommandTool
from edgeagent.agent.tools.protocol import Tool
from edgeagent.config.tools_file import BuiltIn, ToolsFile, load_tools_file
from edgeagent.config.workspace import Workspace
from edgeagent.errors import ConfigError

BUILT_IN: dict[BuiltIn, Callable[[], Tool]] = {"calculator": Calculator, "dates": Dates}
DEFAULT: tuple[BuiltIn, ...] = ("calculator", "dates")
"""What agents have if nobody says otherwise. Each further description in the prompt can make very
small models worse at all the other tools: measure before adding one, see `docs/tools.md`."""

CountTokens = Callable[[str], int]
OnNote = Callable[[str], None]
Opened = tuple[str, tuple[Tool, ...]]
"""Where tools come from, as messages name it, and the tools."""


def ignore(_: str) -> None:
    """Take a note and forget it."""


class Toolbox:
    """Open tools; a context manager that closes them.

    Attributes:
        tools: With different names.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.tools: tuple[Tool, ...] = ()
        self._stack = contextlib.ExitStack()

    def add(self, where: str, tools: Iterable[Tool]) -> None:
        """Take tools over: they are closed together with the box, also if they do not fit in.

        Args:
            where: Where they come from, for the message.
            tools: The tools.

        Raises:
            ConfigError: There already is a tool of that name.
        """
        tools = tuple(tools)
        for tool in tools:
            close = getattr(tool, "close", None)
            if callable(close):
                self._stack.callback(_close_quietly, close)
        for tool in tools:
            if any(tool.name == other.name for other in self.tools):
                raise ConfigError(
                    f"{where}: there already is a tool {tool.name!r}; give it another name."
                )
            self.tools += (tool,)

    def closing(self, close: Callable[[], object]) -> None:
        """Close something else together with the box."""
        self._stack.callback(close)

    def close(self) -> None:
        """Close what has to be closed, last opened first; idempotent."""
        self._stack.close()

    def __enter__(self) -> Toolbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _close_quietly(close: Callable[[], object]) -> None:
    """Close a tool; a defect in that of somebody's tool must not spoil a run that is done."""
    with contextlib.suppress(Exception):
        close()


def plugin_files(workspace: Workspace) -> tuple[Path, ...]:
    """Return the Python files of a workspace, those of its tools file too, each once.

    Raises:
        ConfigError: The tools file is not valid.
    """
    files = list(workspace.plugins)
    if workspace.tools_file is not None:
        file = load_tools_file(workspace.tools_file)
        files += [file.resolve(name) for name in file.spec.plugins]
    return tuple({path.resolve(): path for path in files}.values())


def open_toolbox(
    workspace: Workspace,
    *,
    count_tokens: CountTokens,
    on_note: OnNote = ignore,
    on_progress: OnNote = ignore,
) -> Toolbox:
    """Open the tools of a workspace.

    Args:
        workspace: What the user gave.
        count_tokens: Tokens of a text, by the model that shall read the tools' descriptions.
        on_note: Told what was left out and why.
        on_progress: Told what is being opened, where that takes time.

    Raises:
        ConfigError: A file, folder, server or plugin cannot be used, or two tools have one name.
        ResourceError: A process that a tool needs cannot be started.
        MissingExtraError: A package that a tool needs is not installed.
    """
    file = load_tools_file(workspace.tools_file) if workspace.tools_file else None
    box = Toolbox()
    try:
        use = DEFAULT if file is None or file.spec.use is None else file.spec.use
        box.add("use", (BUILT_IN[name]() for name in dict.fromkeys(use)))
        _add_documents(box, workspace, file, on_note, on_progress)
        if file is not None:
            _add_from_file(box, file, on_note)
        for path in plugin_files(workspace):
            box.add(str(path), load_plugin(path).tools)
        if file is not None and file.spec.mcp:
            from edgeagent.agent.tools.mcp.servers import open_servers

            open_servers(
                box, file, count_tokens=count_tokens, on_note=on_note, on_progress=on_progress
            )
    except BaseException:
        box.close()
        raise
    return box


def _add_documents(
    box: Toolbox,
    workspace: Workspace,
    file: ToolsFile | None,
    on_note: OnNote,
    on_progress: OnNote,
) -> None:
    folder = workspace.documents
    if file is not None and file.spec.documents is not None:
        if folder is None:
            folder = file.resolve(file.spec.documents)
        else:
            on_note(f"{folder} is searched, and not the documents of {file.path}.")
    if folder is None:
        return
    from edgeagent.agent.tools.documents.index import index_folder, index_suite
    from edgeagent.agent.tools.documents.search import DocumentSearch

    if workspace.documents_of_suite:
        index = index_suite(folder)
    else:
        index = index_folder(
            folder, lambda done, total: on_progress(f"reading documents: {done} of {total}")
        )
    box.closing(index.close)
    for note in index.notes:
        on_note(note)
    box.add(str(folder), (DocumentSearch(index),))


def _add_from_file(box: Toolbox, file: ToolsFile, on_note: OnNote) -> None:
    spec = file.spec
    if spec.files:
        from edgeagent.agent.tools.files.listing import ListFiles
        from edgeagent.agent.tools.files.reading import ReadFile
        from edgeagent.agent.tools.files.roots import Root, Roots

        folders = [file.resolve(name).resolve() for name in spec.files]
        roots = Roots([Root(folder.name, folder) for folder in folders])
        box.add(f"{file.path}: files", (ListFiles(roots), ReadFile(roots)))
    if spec.tables:
        from edgeagent.agent.tools.sql.tool import SqlTool

        box.add(f"{file.path}: tables", (SqlTool([file.resolve(name) for name in spec.tables]),))
    if spec.python:
        from edgeagent.agent.tools.python.support import sandbox_support
        from edgeagent.agent.tools.python.tool import PythonTool

        support = sandbox_support()
        if support.offered:
            box.add(f"{file.path}: python", (PythonTool(),))
        else:
            on_note(f"The tool python is left out: {support.reason}.")
    for command in spec.command:
        box.add(f"{file.path}: command {command.name}", (CommandTool(command, file),))
