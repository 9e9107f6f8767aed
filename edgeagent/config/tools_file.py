"""The tools file: what a user gives agents to work with, in TOML; paths begin at its folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edgeagent.config.spec import Spec, load_spec

BuiltIn = Literal["calculator", "dates"]
"""Tools that need nothing to work on."""

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,47}$")]
_VARIABLE = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

MAX_TOKENS = 200
"""Of one tool's description and schema: a model of 2,048 tokens has to have room for several."""


class ProgramSpec(Spec):
    """What every program gets that is started for agents."""

    env: dict[_VARIABLE, str] = Field(default_factory=dict)
    """Environment variables, beside the few that every program needs."""
    pass_env: tuple[_VARIABLE, ...] = ()
    """Names of variables of edgeagent's own environment that it gets too, such as keys."""
    cwd: str = "."
    """Working directory; the tools file's folder if nothing else is said."""


class McpServerSpec(ProgramSpec):
    """A server that speaks the Model Context Protocol on its standard input and output."""

    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    tools: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of the tools that agents may call; all, if it is not said."""
    rename: dict[str, ToolName] = Field(default_factory=dict)
    """What agents shall call a tool instead of its own name."""
    start_timeout_s: float = Field(default=20.0, gt=0, le=600)
    call_timeout_s: float = Field(default=30.0, gt=0, le=3600)
    max_tokens: int = Field(default=MAX_TOKENS, ge=20, le=1 << 16)
    """Tokens of one tool's name, description and schema; what is longer is shortened."""
    log: str | None = None
    """File that gets what it writes to its standard error; nothing is kept otherwise."""

    @model_validator(mode="after")
    def _renamed_tools_are_allowed(self) -> McpServerSpec:
        unknown = sorted(set(self.rename) - set(self.tools or self.rename))
        if unknown:
            raise ValueError(f"rename: {', '.join(unknown)} is not among `tools`")
        return self


class CommandExampleSpec(Spec):
    """A worked example, for models that learn calls from the prompt."""

    question: str = Field(min_length=1)
    arguments: dict[str, object] = Field(default_factory=dict)
    result: str = Field(min_length=1)
    answer: str = Field(min_length=1)


class CommandSpec(ProgramSpec):
    """A tool made of a program: arguments come as JSON on its input, its output is the result."""

    name: ToolName
    description: str = Field(min_length=1, max_length=1000)
    """For the model: what it does and when to use it."""
    run: tuple[str, ...] = Field(min_length=1)
    """Program and arguments; no shell reads them."""
    parameters: dict[str, dict[str, object]] = Field(default_factory=dict)
    """JSON Schema of each argument."""
    required: tuple[str, ...] | None = None
    """Arguments that have to be given; all, if it is not said."""
    timeout_s: float = Field(default=10.0, gt=0, le=3600)
    example: tuple[CommandExampleSpec, ...] = ()

    @field_validator("run")
    @classmethod
    def _names_a_program(cls, run: tuple[str, ...]) -> tuple[str, ...]:
        if not run[0].strip():
            raise ValueError("the first part names the program")
        return run

    @model_validator(mode="after")
    def _required_are_there(self) -> CommandSpec:
        if unknown := sorted(set(self.required or ()) - set(self.parameters)):
            raise ValueError(f"required: there is no parameter {', '.join(unknown)}")
        return self


class ToolsFileSpec(Spec):
    """A tools file."""

    use: tuple[BuiltIn, ...] | None = None
    """Which of the built-in tools agents get; `None`: those that they always have."""
    documents: str | None = None
    """Folder that `search` searches."""
    files: tuple[str, ...] = ()
    """Folders whose files `list_files` and `read_file` show."""
    tables: tuple[str, ...] = ()
    """CSV files and SQLite databases that `sql` reads."""
    python: bool = False
    """Whether agents may run Python in a sandbox."""
    plugins: tuple[str, ...] = ()
    """Python files with tools and paradigms of the user's own."""
    mcp: dict[ToolName, McpServerSpec] = Field(default_factory=dict)
    command: tuple[CommandSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolsFile:
    """A tools file that was read.

    Attributes:
        path: The file.
        spec: What it says.
    """

    path: Path
    spec: ToolsFileSpec

    def resolve(self, name: str) -> Path:
        """Return a path of the file; relative ones begin at the file's folder."""
        return self.path.absolute().parent / Path(name).expanduser()

    def program(self, name: str) -> str:
        """Return a program as the system finds it: a name with a slash is a path."""
        is_path = "/" in name or os.sep in name or name.startswith("~")
        return str(self.resolve(name)) if is_path else name


def load_tools_file(path: Path) -> ToolsFile:
    """Read a tools file.

    Raises:
        ConfigError: It cannot be read or is not valid.
    """
    return ToolsFile(path, load_spec(path, ToolsFileSpec))
