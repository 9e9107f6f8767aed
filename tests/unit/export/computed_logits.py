"""Logits of a source in numpy and of its package in the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeagent.export.model import SourceModel
from edgeagent.export.verify.reference import ReferenceDecoder

PREFILL_TOKENS = 25
"""More than every window of the tiny checkpoints; what follows is decoded token by token."""


def source_logits(model: SourceModel, tokens: list[int]) -> npt.NDArray[np.float32]:
    """The logits that the verification holds a package against, after each token."""
    reference = ReferenceDecoder(model.checkpoint, model.spec)
    (hidden,) = reference.hidden_states([np.array(tokens)])
    return hidden @ reference.head_rows(0, model.spec.vocab).T


def package_logits(package: Path, tokens: list[int]) -> npt.NDArray[np.float32]:
    """Logits from the end of the prefill on, decoded one by one in onnxruntime-genai."""
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(package))
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(max_length=len(tokens) + 1, do_sample=False)
    generator = onnxruntime_genai.Generator(model, params)
    rows = []
    for piece in (tokens[:PREFILL_TOKENS], *([token] for token in tokens[PREFILL_TOKENS:])):
        generator.append_tokens(np.array(piece, dtype=np.int32))
        rows.append(np.array(generator.get_logits(), dtype=np.float32).reshape(-1))
    return np.stack(rows)
