"""The decoder families that the native exporter knows; a new one is a file and a line here."""

from __future__ import annotations

from edgeagent.errors import UnsupportedError
from edgeagent.export.families import gemma3, llama, mistral, phi3, qwen2, qwen3, smollm3
from edgeagent.export.families.family import Family

__all__ = ["FAMILIES", "Family", "family_of_folder", "family_of_gguf"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        gemma3.FAMILY,
        llama.FAMILY,
        mistral.FAMILY,
        phi3.FAMILY,
        qwen2.FAMILY,
        qwen3.FAMILY,
        smollm3.FAMILY,
    )
}


def family_of_gguf(architecture: str) -> Family:
    """Return the family that a GGUF names.

    Raises:
        UnsupportedError: No family has this name.
    """
    if architecture not in FAMILIES:
        raise _unsupported(architecture, sorted(FAMILIES))
    return FAMILIES[architecture]


def family_of_folder(architecture: str) -> Family:
    """Return the family of a class of transformers, such as `LlamaForCausalLM`.

    Raises:
        UnsupportedError: No family has this class.
    """
    for family in FAMILIES.values():
        if architecture in family.folder_architectures:
            return family
    known = sorted(name for family in FAMILIES.values() for name in family.folder_architectures)
    raise _unsupported(architecture, known)


def _unsupported(architecture: str, known: list[str]) -> UnsupportedError:
    return UnsupportedError(
        f"The architecture {architecture[:80]!r} is not supported by the native exporter; it knows"
        f" {', '.join(known[:-1])} and {known[-1]}."
    )
