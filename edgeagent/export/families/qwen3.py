"""Qwen3, dense: every query and key head is normed, and heads have a width of their own."""

from __future__ import annotations

from edgeagent.export.families.family import Family
from edgeagent.export.families.folder_positions import opted_in_positions

FAMILY = Family(
    name="qwen3",
    folder_architectures=("Qwen3ForCausalLM",),
    runtime_type="qwen3",
    qk_norm=True,
    folder_positions=opted_in_positions,
)
