"""onnxruntime-genai's tokenizer on the files of a package, without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from edgeagent.export.tokenizer import TokenizerFiles, write_tokenizer
from edgeagent.privacy import disable_dependency_telemetry

_DECODER = {
    "session_options": {"provider_options": []},
    "filename": "model.onnx",
    "head_size": 8,
    "hidden_size": 8,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "num_hidden_layers": 1,
}


def runtime_encode(files: TokenizerFiles, folder: Path) -> Callable[[str], list[int]]:
    """Write `files` to a new folder and encode with the runtime's tokenizer there."""
    disable_dependency_telemetry()
    import onnxruntime_genai

    folder.mkdir()
    write_tokenizer(files, folder)
    model = {
        "type": "llama",
        "bos_token_id": files.eos_ids[0] if files.bos_id is None else files.bos_id,
        "eos_token_id": list(files.eos_ids),
        "pad_token_id": files.pad_id,
        "context_length": 64,
        "vocab_size": 1_000_000,
        "decoder": _DECODER,
    }
    config = {"model": model, "search": {"max_length": 64}}
    (folder / "genai_config.json").write_text(json.dumps(config), "utf-8")
    tokenizer = onnxruntime_genai.Tokenizer(str(folder))
    return lambda text: [int(token) for token in tokenizer.encode(text)]
