"""Qwen2 and Qwen2.5, with their coder and math variants: biases on Q, K and V."""

from __future__ import annotations

from edgeagent.export.families.family import Family

FAMILY = Family(architecture="qwen2", runtime_type="qwen2", interleaved_rope=False, qkv_bias=True)
