"""Python files of the user's own, with tools and paradigms.

Such a file is code that the user trusts: it is run as it is, with all rights of this program. It
says what it offers in `TOOLS` and `PARADIGMS`; everything is checked here, so that a mistake is a
sentence with a line and not a failure in the middle of a run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

from edgeagent.agent.formats.protocol import Example
from edgeagent.agent.paradigms.catalog import ParadigmClass
from edgeagent.agent.tools.parameters import TOOL_NAME, check_parameters
from edgeagent.agent.tools.protocol import Tool
from edgeagent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a file offers.

    Attributes:
        tools: Instances; those that the file gives as classes are made anew by each load.
        paradigms: Classes.
    """

    tools: tuple[Tool, ...]
    paradigms: tuple[ParadigmClass, ...]


def load_plugin(path: Path) -> Plugin:
    """Run a user's file, once as long as it does not change, and return what it offers.

    Raises:
        ConfigError: It cannot be read or run, or offers something that is no tool or paradigm.
    """
    module = _module(path)
    tools, paradigms = (_sequence(path, module, name) for name in ("TOOLS", "PARADIGMS"))
    if not tools and not paradigms:
        raise ConfigError(f"{path} offers nothing: it has neither TOOLS nor PARADIGMS.")
    return Plugin(
        tuple(_tool(path, tool) for tool in tools),
        tuple(_paradigm(path, paradigm) for paradigm in paradigms),
    )


def _module(path: Path) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The plugin {path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(bytes(path.resolve()) + b"\0" + source).hexdigest()
    name = f"edgeagent_plugin_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"The plugin {path} is not a Python file; its name has to end with .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of the file look their module up
    try:
        # Not by the loader: what it caches beside the file can be older than the file.
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"The plugin {path} cannot be loaded: {_reason(error, path)}.") from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _reason(error: BaseException, path: Path) -> str:
    """Return what went wrong in a plugin, and in which of its lines."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"line {error.lineno}: {error.msg}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    text = " ".join(str(error).split()).rstrip(".")
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"line {lines[-1]}: {what}" if lines else what


def _sequence(path: Path, module: ModuleType, name: str) -> Sequence[object]:
    value = getattr(module, name, ())
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{path}: {name} is not a list; write {name} = [...].")
    return value


def _tool(path: Path, given: object) -> Tool:
    tool = given
    if isinstance(given, type):
        try:
            tool = given()
        except Exception as error:
            raise ConfigError(
                f"{path}: the tool {given.__name__} cannot be made: {_reason(error, path)}."
            ) from error
    if reason := next(_tool_defects(tool), ""):
        raise ConfigError(f"{path}: the tool {_title(tool)} {reason}.")
    return cast("Tool", tool)


def _tool_defects(tool: object) -> Iterator[str]:
    """Say what an object lacks to be a tool."""
    name, description = (getattr(tool, key, None) for key in ("name", "description"))
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        yield "has no `name` of letters, digits, _ and -"
    if not isinstance(description, str) or not description.strip():
        yield "has no `description`; say in a sentence what it does and when to use it"
    if not isinstance(getattr(tool, "is_delegate", None), bool):
        yield "has no `is_delegate`; write is_delegate = False"
    if not callable(getattr(tool, "run", None)):
        yield "has no method `run(self, arguments)`"
    for method in ("offer", "close"):
        if not callable(getattr(tool, method, print)):
            yield f"has a `{method}` that cannot be called"
    examples = getattr(tool, "examples", ())
    if not isinstance(examples, list | tuple) or not all(isinstance(e, Example) for e in examples):
        yield "has `examples` that are not of the class Example"
    try:
        check_parameters(getattr(tool, "parameters", None))
    except ValueError as error:
        yield f"has a `parameters` that {error}"


def _paradigm(path: Path, given: object) -> ParadigmClass:
    reason = ""
    name = getattr(given, "name", None)
    if not isinstance(given, type):
        reason = "is not a class"
    elif not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        reason = "has no `name` of letters, digits, _ and -"
    else:
        missing = [key for key in ("warm_up", "run") if not callable(getattr(given, key, None))]
        reason = f"has no method `{missing[0]}`" if missing else ""
    if reason:
        raise ConfigError(f"{path}: the paradigm {_title(given)} {reason}.")
    return cast("ParadigmClass", given)


def _title(thing: object) -> str:
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.__name__
