"""Moved to `edgeagent.agent.numbers`; left until what imports it here is committed."""

from edgeagent.agent.numbers import numbers_in, spelled_numbers_in

__all__ = ["numbers_in", "spelled_numbers_in"]
