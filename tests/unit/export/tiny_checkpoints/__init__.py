"""Tiny random checkpoints of every decoder family, with the logits that transformers gives them.

Each is written in two forms, as a Hugging Face folder and as the GGUF that llama.cpp's converter
makes of it, with numpy, safetensors' format and the `gguf` package alone. The logits of
transformers are recorded beside the tests (`scripts/record_reference_logits.py`); a decoder in
numpy gives those of every other mixture of block types and of every feature that is turned off.

    checkpoint = FAMILY_CHECKPOINTS["gemma3"]
    checkpoint.write_folder(folder, dtype="bfloat16", shards=2)
    checkpoint.write_gguf(path, kind="Q8_0", kinds={"attn_v": "F16"})
    expected = load_reference_logits("gemma3")  # float32, (len(checkpoint.tokens), vocab)
"""

from __future__ import annotations

from tiny_checkpoints.checkpoint import TinyCheckpoint
from tiny_checkpoints.decoder import decoder_logits
from tiny_checkpoints.families import (
    ALL_CHECKPOINTS,
    FAMILY_CHECKPOINTS,
    SCALING_CHECKPOINTS,
)
from tiny_checkpoints.reference import (
    REFERENCE_FOLDER,
    load_reference_logits,
    reference_transformers_version,
    relative_error,
)

__all__ = [
    "ALL_CHECKPOINTS",
    "FAMILY_CHECKPOINTS",
    "REFERENCE_FOLDER",
    "SCALING_CHECKPOINTS",
    "TinyCheckpoint",
    "decoder_logits",
    "load_reference_logits",
    "reference_transformers_version",
    "relative_error",
]
