"""Tool-call formats by the name that recipes use; a new one is a file here and a line below."""

from __future__ import annotations

from edgeagent.agent.formats.compact import CompactFormat
from edgeagent.agent.formats.hermes import HermesFormat
from edgeagent.agent.formats.plain import PLAIN
from edgeagent.agent.formats.protocol import ToolFormat

_FORMATS: dict[str, ToolFormat] = {
    found.name: found for found in (CompactFormat(), HermesFormat(), PLAIN)
}
_UNKNOWN = "compact"
"""Works with every chat template, so it stands in for formats that have no file here yet."""


def tool_format(name: str) -> ToolFormat:
    """Return the format of that name, or the compact one for a name without a file here.

    The record of a run says which format was really used.
    """
    return _FORMATS.get(name, _FORMATS[_UNKNOWN])
