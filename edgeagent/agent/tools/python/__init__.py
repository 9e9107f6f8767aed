"""The Python tool: code of the model runs in a process that the operating system confines."""

from edgeagent.agent.tools.python.limits import SandboxLimits
from edgeagent.agent.tools.python.support import Support, sandbox_support
from edgeagent.agent.tools.python.tool import PythonTool

__all__ = ["PythonTool", "SandboxLimits", "Support", "sandbox_support"]
