"""The format of SmolLM3: tools in XML tags that its template writes, calls as in Hermes.

Its template puts what a tool brought into a user turn as it is, so the tags that the model was
trained with are written here.
"""

from __future__ import annotations

from edgeagent.agent.chat.template import Message
from edgeagent.agent.formats.hermes import HermesFormat
from edgeagent.agent.formats.protocol import Observation, TurnRules


class SmolLM3Format(HermesFormat):
    """See the module."""

    name = "smollm3"

    def result(self, observation: Observation, text: str) -> Message:
        """Return a result in its tags."""
        del observation
        return {"role": "tool", "content": f"<tool_response>\n{text}\n</tool_response>"}

    def _untagged(self, rules: TurnRules) -> list[str]:
        """Nothing: all models of the family know the tags."""
        del rules
        return []
