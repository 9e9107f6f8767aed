"""Qwen2 and Qwen2.5, with their coder and math variants: biases on Q, K and V."""

from __future__ import annotations

from edgeagent.export.families.family import Family
from edgeagent.export.families.folder_positions import opted_in_positions

FAMILY = Family(
    name="qwen2",
    folder_architectures=("Qwen2ForCausalLM",),
    runtime_type="qwen2",
    qkv_bias=True,
    folder_positions=opted_in_positions,
)
