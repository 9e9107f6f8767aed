"""Llama 2 and 3, SmolLM2, TinyLlama, and Mistral as llama.cpp converts it.

llama.cpp's converter reorders the rows of Q and K of this architecture so that rotary pairs become
neighbours (`LlamaModel.permute` in its `convert_hf_to_gguf.py`); the exporter puts them back.
"""

from __future__ import annotations

from edgeagent.export.families.family import Family

FAMILY = Family(
    name="llama",
    folder_architectures=("LlamaForCausalLM",),
    runtime_type="llama",
    neighbour_pairs=True,
    qkv_bias=None,
)
