"""The SQL tool: questions to local tables, which are only read."""

from edgeagent.agent.tools.sql.tool import SqlTool

__all__ = ["SqlTool"]
