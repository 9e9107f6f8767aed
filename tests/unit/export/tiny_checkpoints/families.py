"""One tiny checkpoint for each family, and one for each variant that a family computes differently.

The sizes differ from one another wherever a real model's do, so that a mix-up shows: 128 hidden
units, 160 in the MLP, two query heads to a key head. Windows and original context lengths are
shorter than the 40 tokens of the reference where the long case is meant, longer where the short
one is. Real models that the constants follow are named with each checkpoint.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from tiny_checkpoints import vocabulary
from tiny_checkpoints.checkpoint import TinyCheckpoint
from tiny_checkpoints.vocabulary import VOCAB_SIZE, Vocabulary

_WINDOW = 8
_LAYERS = 3


def _shared(
    model_type: str, architecture: str, vocab: Vocabulary, *, tied: bool, layers: int = _LAYERS
) -> dict[str, Any]:
    """What every configuration says in the same words."""
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "attention_dropout": 0.0,
        "bos_token_id": vocab.bos_id,
        "eos_token_id": vocab.eos_ids[0],
        "pad_token_id": vocab.eos_ids[0],
        "hidden_size": 128,
        "intermediate_size": 160,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.02,
        "tie_word_embeddings": tied,
        "use_cache": True,
        "vocab_size": VOCAB_SIZE,
    }


def _llama(
    name: str,
    vocab: Vocabulary,
    *,
    theta: float,
    tied: bool,
    scaling: dict[str, Any] | None,
) -> TinyCheckpoint:
    common = _shared("llama", "LlamaForCausalLM", vocab, tied=tied) | {
        "attention_bias": False,
        "head_dim": 32,
        "hidden_act": "silu",
        "mlp_bias": False,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-5,
    }
    return TinyCheckpoint(
        name=name,
        vocabulary=vocab,
        published=common | {"rope_theta": theta, "rope_scaling": scaling},
        config=common
        | {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **(scaling or {})}},
        gguf_architecture="llama",
    )


_LLAMA3_SCALING = {
    # Llama 3.2 has 32 and 8192; with 64 the waves of this model fall into all three ranges.
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_type": "llama3",
}


def _qwen(
    name: str,
    model_type: str,
    architecture: str,
    extra: dict[str, Any],
    *,
    tied: bool,
    scaling: dict[str, Any] | None = None,
) -> TinyCheckpoint:
    common = _shared(model_type, architecture, vocabulary.CHATML, tied=tied) | {
        "hidden_act": "silu",
        "max_window_layers": 2,
        "rms_norm_eps": 1e-6,
        "use_sliding_window": False,
        **extra,
    }
    theta = 1_000_000.0
    return TinyCheckpoint(
        name=name,
        vocabulary=vocabulary.CHATML,
        # Published files state a window and, beside it, that it is not used.
        published=common
        | {"rope_scaling": scaling, "rope_theta": theta, "sliding_window": _WINDOW},
        config=common
        | {
            "layer_types": ["full_attention"] * _LAYERS,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta, **(scaling or {})},
            "sliding_window": None,
        },
        gguf_architecture=model_type,
    )


def _mistral() -> TinyCheckpoint:
    """Mistral 7B v0.1: every layer slides; a GGUF of it does not say so."""
    common = _shared("mistral", "MistralForCausalLM", vocabulary.MISTRAL, tied=False) | {
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "sliding_window": _WINDOW,
    }
    theta = 10_000.0
    return TinyCheckpoint(
        name="mistral",
        vocabulary=vocabulary.MISTRAL,
        published=common | {"rope_theta": theta},
        config=common
        | {"head_dim": 32, "rope_parameters": {"rope_type": "default", "rope_theta": theta}},
        gguf_architecture="llama",
        gguf_keeps_window=False,
    )


def _smollm3() -> TinyCheckpoint:
    """SmolLM3-3B: layers 3, 7, 11, ... have no rotary positions."""
    layers = 5
    common = _shared(
        "smollm3", "SmolLM3ForCausalLM", vocabulary.SMOLLM3, tied=True, layers=layers
    ) | {
        "attention_bias": False,
        "hidden_act": "silu",
        "layer_types": ["full_attention"] * layers,
        "mlp_bias": False,
        "no_rope_layer_interval": 4,
        "no_rope_layers": [int((layer + 1) % 4 != 0) for layer in range(layers)],
        "rms_norm_eps": 1e-6,
        "sliding_window": None,
        "use_sliding_window": False,
    }
    theta = 5_000_000.0
    return TinyCheckpoint(
        name="smollm3",
        vocabulary=vocabulary.SMOLLM3,
        published=common | {"max_window_layers": 28, "rope_scaling": None, "rope_theta": theta},
        config=common | {"rope_parameters": {"rope_type": "default", "rope_theta": theta}},
        gguf_architecture="smollm3",
    )


def _phi3(
    name: str,
    *,
    tied: bool = False,
    window: int | None = None,
    original: int | None = None,
    heads: int = 4,
    rotated_share: float = 1.0,
) -> TinyCheckpoint:
    """A Phi-3; with an `original` context length it has LongRoPE.

    transformers takes the long factors once a sequence exceeds the original length.
    """
    common = _shared("phi3", "Phi3ForCausalLM", vocabulary.PHI, tied=tied) | {
        "embd_pdrop": 0.0,
        "hidden_act": "silu",
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "original_max_position_embeddings": original or 512,
        "partial_rotary_factor": rotated_share,
        "resid_pdrop": 0.0,
        "rms_norm_eps": 1e-5,
        "sliding_window": window,
    }
    theta = 10_000.0
    scaling: dict[str, Any] = {}
    if original is not None:
        pairs = int(128 // heads * rotated_share) // 2
        scaling = {
            "long_factor": [round(1.0 + 0.75 * pair, 4) for pair in range(pairs)],
            "short_factor": [round(1.0 + 0.0625 * pair, 4) for pair in range(pairs)],
        }
    rope = {"partial_rotary_factor": rotated_share, "rope_theta": theta, **scaling}
    if original is None:
        rope["rope_type"] = "default"
    else:
        rope |= {
            "rope_type": "longrope",
            "type": "longrope",
            "original_max_position_embeddings": original,
        }
    return TinyCheckpoint(
        name=name,
        vocabulary=vocabulary.PHI,
        published=common
        | {
            "attention_bias": False,
            "rope_theta": theta,
            "rope_scaling": scaling | {"type": "longrope"} if scaling else None,
        },
        config=common | {"rope_parameters": rope},
        gguf_architecture="phi3",
    )


def _gemma3(
    name: str,
    *,
    factor: float | None = None,
    query_pre_attn_scalar: int = 64,
    in_gguf: bool = True,
) -> TinyCheckpoint:
    layers = 7  # the sixth is the only one that sees everything
    kinds = ["full_attention" if (at + 1) % 6 == 0 else "sliding_attention" for at in range(layers)]
    common = _shared(
        "gemma3_text", "Gemma3ForCausalLM", vocabulary.GEMMA, tied=True, layers=layers
    ) | {
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "head_dim": 64,
        "hidden_activation": "gelu_pytorch_tanh",
        "pad_token_id": vocabulary.GEMMA.id_of("<pad>"),
        "query_pre_attn_scalar": query_pre_attn_scalar,
        "rms_norm_eps": 1e-6,
        "sliding_window": _WINDOW,
    }
    everywhere, local = 1_000_000.0, 10_000.0
    scaling = None if factor is None else {"rope_type": "linear", "factor": factor}
    return TinyCheckpoint(
        name=name,
        vocabulary=vocabulary.GEMMA,
        published=common
        | {
            "cache_implementation": "hybrid",
            "rope_local_base_freq": local,
            "rope_scaling": scaling,
            "rope_theta": everywhere,
            "sliding_window_pattern": 6,
        },
        config=common
        | {
            "_sliding_window_pattern": 6,
            "layer_types": kinds,
            "rope_parameters": {
                "full_attention": {
                    "rope_type": "default",
                    "rope_theta": everywhere,
                    **(scaling or {}),
                },
                "sliding_attention": {"rope_type": "default", "rope_theta": local},
            },
            "use_bidirectional_attention": False,
        },
        gguf_architecture="gemma3" if in_gguf else None,
    )


_LINEAR_SCALING = {"rope_type": "linear", "factor": 4.0}
_YARN_SCALING = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
_QWEN3 = {"attention_bias": False, "head_dim": 64}  # so Q is twice as wide as the hidden units

_CHECKPOINTS = (
    _llama("llama3", vocabulary.LLAMA3, theta=500_000.0, tied=False, scaling=_LLAMA3_SCALING),
    _llama("llama3-tied", vocabulary.LLAMA3, theta=500_000.0, tied=True, scaling=_LLAMA3_SCALING),
    _llama("smollm2", vocabulary.SMOLLM2, theta=100_000.0, tied=True, scaling=None),
    _qwen("qwen2", "qwen2", "Qwen2ForCausalLM", {}, tied=True),
    _qwen(
        "qwen3",
        "qwen3",
        "Qwen3ForCausalLM",
        _QWEN3,
        tied=False,
    ),
    _mistral(),
    _smollm3(),
    _phi3("phi3", window=_WINDOW),  # Phi-3-mini-4k
    _phi3("phi3-long", original=32),  # Phi-3-mini-128k beyond its original length
    # Phi-4-mini within it: 48 of the 64 values of a head turn.
    _phi3("phi4-mini", tied=True, original=256, heads=2, rotated_share=0.75),
    _gemma3("gemma3"),  # Gemma-3-1B
    _gemma3("gemma3-linear", factor=8.0),  # the text model of Gemma-3-4B
    # Gemma-3-27B; llama.cpp knows its scale by the 62 layers, a GGUF cannot state it.
    _gemma3("gemma3-scalar", factor=8.0, query_pre_attn_scalar=32, in_gguf=False),
)

_SCALED = (
    # What users add to a configuration, and publishers to a GGUF, for long contexts.
    _llama("llama-linear", vocabulary.LLAMA3, theta=10_000.0, tied=False, scaling=_LINEAR_SCALING),
    _qwen("qwen3-yarn", "qwen3", "Qwen3ForCausalLM", _QWEN3, tied=False, scaling=_YARN_SCALING),
)

FAMILY_CHECKPOINTS = MappingProxyType({each.name: each for each in _CHECKPOINTS})
"""Every family and variant by name."""

SCALING_CHECKPOINTS = MappingProxyType({each.name: each for each in _SCALED})
"""Rotary scalings that no family is published with, by name."""

ALL_CHECKPOINTS = MappingProxyType({**FAMILY_CHECKPOINTS, **SCALING_CHECKPOINTS})
"""Both."""
