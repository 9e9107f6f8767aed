"""The Python tool: code of the model runs in a process that the operating system confines."""

from edgeagent.agent.tools.python.support import Support, sandbox_support
from edgeagent.agent.tools.python.tool import PythonTool
from edgeagent.agent.tools.sandbox.limits import SandboxLimits

__all__ = ["PythonTool", "SandboxLimits", "Support", "sandbox_support"]
