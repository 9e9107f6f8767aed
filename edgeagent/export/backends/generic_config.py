"""`genai_config.json` for decoder graphs whose exporter writes none.

Keys: https://onnxruntime.ai/docs/genai/reference/config.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeagent.export.backends.graph_facts import read_graph
from edgeagent.export.checkpoint.safetensors import HFConfig

_DECODER_ONLY = "decoder"
"""The runtime's type for any decoder; named types switch special handling on that such a graph
does not have, and are refused if unknown."""

_NO_LIMIT = 1 << 20
"""For models whose positions have no table; the export's own limit applies."""


def generic_config(graph: Path, model: Path) -> dict[str, Any]:
    """Return the content of `genai_config.json`; special tokens are filled in later.

    Args:
        graph: The decoder; its cache inputs tell layers, heads and head size.
        model: Hugging Face folder that it was made from.

    Raises:
        ExportError: The graph is not a decoder.
    """
    facts = read_graph(graph)
    config = HFConfig.read(model / "config.json")
    _, kv_heads, head_dim = next(iter(facts.cache_inputs.values()))
    heads = _first(config, "num_attention_heads", "n_head") or kv_heads
    hidden = _first(config, "hidden_size", "n_embd") or heads * head_dim
    context = _first(config, "max_position_embeddings", "n_positions") or _NO_LIMIT
    names = ("input_ids", "attention_mask", "position_ids")
    inputs = {name: name for name in names if name in facts.inputs}
    return {
        "model": {
            "type": _DECODER_ONLY,
            "vocab_size": facts.vocab or config.get_int("vocab_size"),
            "context_length": context,
            "decoder": {
                "filename": graph.name,
                "head_size": head_dim,
                "hidden_size": hidden,
                "num_attention_heads": heads,
                "num_hidden_layers": facts.layers,
                "num_key_value_heads": kv_heads,
                "session_options": {"log_id": "edgeagent", "provider_options": []},
                "inputs": inputs
                | {
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
        # The cache of such a graph grows by concatenation, so it cannot be one shared buffer.
        "search": {"past_present_share_buffer": False},
    }


def _first(config: HFConfig, *keys: str) -> int | None:
    """The value of the first key that is there; families of models name things differently."""
    return next((v for v in (config.get_int(key, None) for key in keys) if v is not None), None)
