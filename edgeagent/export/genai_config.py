"""`genai_config.json`: how onnxruntime-genai finds inputs, outputs, cache and special tokens.

Keys: https://onnxruntime.ai/docs/genai/reference/config.html.
"""

from __future__ import annotations

from typing import Any

from edgeagent.export.decoder.spec import DecoderSpec
from edgeagent.export.tokenizer import TokenizerFiles

CONFIG_NAME = "genai_config.json"
MODEL_NAME = "model.onnx"
ALL_POSITIONS_NAME = "all_positions.onnx"
"""The same decoder with the logits of all positions, over the same weights file."""
DATA_NAME = "model.onnx.data"


def genai_config(spec: DecoderSpec, tokenizer: TokenizerFiles) -> dict[str, Any]:
    """Return the content of `genai_config.json`.

    Search defaults are greedy: what a run samples with is stated by the run, not by a package.
    """
    eos_ids = list(tokenizer.eos_ids)
    bos_id = eos_ids[0] if tokenizer.bos_id is None else tokenizer.bos_id
    return {
        "model": {
            "type": spec.runtime_type,
            "vocab_size": spec.vocab,
            "context_length": spec.context_len,
            "bos_token_id": bos_id,
            "eos_token_id": eos_ids,
            "pad_token_id": tokenizer.pad_id,
            "decoder": {
                "filename": MODEL_NAME,
                "head_size": spec.head_dim,
                "hidden_size": spec.hidden,
                "num_attention_heads": spec.heads,
                "num_hidden_layers": len(spec.layers),
                "num_key_value_heads": spec.kv_heads,
                "session_options": {"log_id": "edgeagent", "provider_options": []},
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": False,
            "temperature": 1.0,
            "top_k": 1,
            "top_p": 1.0,
            "num_beams": 1,
            "num_return_sequences": 1,
            "repetition_penalty": 1.0,
            "no_repeat_ngram_size": 0,
            "diversity_penalty": 0.0,
            "length_penalty": 1.0,
            "early_stopping": True,
            "min_length": 0,
            "max_length": spec.context_len,
            "past_present_share_buffer": True,
        },
    }
