"""The decoder families that the native exporter knows; a new one is a file and a line here."""

from __future__ import annotations

from edgeagent.errors import UnsupportedError
from edgeagent.export.families import llama, qwen2
from edgeagent.export.families.family import Family

__all__ = ["FAMILIES", "Family", "family_of"]

FAMILIES: dict[str, Family] = {
    family.architecture: family for family in (llama.FAMILY, qwen2.FAMILY)
}


def family_of(architecture: str) -> Family:
    """Return the family of an architecture.

    Raises:
        UnsupportedError: No family has this name.
    """
    if architecture not in FAMILIES:
        raise UnsupportedError(
            f"The architecture {architecture[:80]!r} is not supported by the native exporter;"
            f" it knows {' and '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[architecture]
