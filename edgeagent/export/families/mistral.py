"""Mistral, Ministral and Zephyr from a folder; their GGUFs say that they are `llama`.

A GGUF does not keep the window of the first Mistral, and llama.cpp attends to everything.
"""

from __future__ import annotations

from edgeagent.export.families.family import Family

FAMILY = Family(
    name="mistral",
    folder_architectures=("MistralForCausalLM",),
    runtime_type="mistral",
    neighbour_pairs=True,
)
