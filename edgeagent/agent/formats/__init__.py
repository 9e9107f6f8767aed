"""Tool-call formats by the name that recipes use; a new one is a file here and a line below."""

from __future__ import annotations

from edgeagent.agent.formats.compact import CompactFormat
from edgeagent.agent.formats.gemma import GemmaFormat
from edgeagent.agent.formats.hermes import HermesFormat
from edgeagent.agent.formats.llama3_json import Llama3JsonFormat
from edgeagent.agent.formats.llama3_pythonic import Llama3PythonicFormat
from edgeagent.agent.formats.mistral import MistralFormat
from edgeagent.agent.formats.phi4 import Phi4Format
from edgeagent.agent.formats.plain import PLAIN
from edgeagent.agent.formats.protocol import ToolFormat
from edgeagent.agent.formats.smollm3 import SmolLM3Format
from edgeagent.errors import ConfigError

_FORMATS: dict[str, ToolFormat] = {
    found.name: found
    for found in (
        CompactFormat(),
        HermesFormat(),
        Llama3JsonFormat(),
        Llama3PythonicFormat(),
        MistralFormat(),
        Phi4Format(),
        GemmaFormat(),
        SmolLM3Format(),
        PLAIN,
    )
}

FORMAT_NAMES = tuple(_FORMATS)
"""Names of all formats, for `--format`."""


def tool_format(name: str) -> ToolFormat:
    """Return the format of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in _FORMATS:
        raise ConfigError(
            f"No tool-call format is called {name[:40]!r}; there are {', '.join(FORMAT_NAMES)}."
        )
    return _FORMATS[name]
