"""Python files of the user's own, with tools and paradigms."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from edgeagent.agent.paradigms.catalog import ParadigmClass
from edgeagent.agent.tools.protocol import Tool
from edgeagent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a file offers."""

    tools: tuple[Tool, ...]
    paradigms: tuple[ParadigmClass, ...]


def load_plugin(path: Path) -> Plugin:
    """Run a user's file and return its `TOOLS` and `PARADIGMS`.

    Raises:
        ConfigError: It cannot be read or run.
    """
    spec = importlib.util.spec_from_file_location(f"edgeagent_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{path} cannot be loaded: {error}.") from error
    tools = [tool() if isinstance(tool, type) else tool for tool in getattr(module, "TOOLS", ())]
    return Plugin(tuple(tools), tuple(getattr(module, "PARADIGMS", ())))
