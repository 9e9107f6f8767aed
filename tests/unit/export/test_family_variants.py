"""What is the same package in another form, variants of the families, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from computed_logits import PREFILL_TOKENS, package_logits, source_logits
from tiny_checkpoints import (
    ALL_CHECKPOINTS,
    TinyCheckpoint,
    decoder_logits,
    load_reference_logits,
    relative_error,
)
from tiny_checkpoints.folder import write_safetensors

from edgeagent.errors import DamagedFileError, EdgeAgentError, UnsupportedError
from edgeagent.export.model import open_model
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.record.manifest import MANIFEST_NAME

_FACTS = ModelFacts(model_id="tiny")
_UNVERIFIED = ExportSettings(verify="none")
_FLOAT32 = ExportSettings(policy="float", verify="load", accuracy_level=1)


def _digest(source: Path, package: Path) -> str:
    """Hash of the package that a source becomes, without its manifest."""
    export_checkpoint(source, package, facts=_FACTS, settings=_UNVERIFIED)
    digest = hashlib.sha256()
    for path in sorted(package.iterdir()):
        if path.name != MANIFEST_NAME:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _change_config(folder: Path, changes: Mapping[str, Any]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


# The same model in another form


@pytest.mark.parametrize("name", ["llama3", "phi4-mini", "gemma3"])
def test_precision_shards_and_dialect_of_a_folder_change_nothing(name: str, tmp_path: Path) -> None:
    write = ALL_CHECKPOINTS[name].write_folder
    digests = {
        _digest(folder, tmp_path / "package")
        for folder in (
            write(tmp_path / "float32"),
            write(tmp_path / "bfloat16", dtype="bfloat16", shards=3),
            write(tmp_path / "float16", dtype="float16", style="published"),
        )
    }
    assert len(digests) == 1


@pytest.mark.parametrize("part", [1, 3])
def test_any_part_of_a_split_gguf_is_the_whole(part: int, tmp_path: Path) -> None:
    write = ALL_CHECKPOINTS["llama3"].write_gguf
    whole = write(tmp_path / "whole.gguf", kind="Q4_1")
    first = write(tmp_path / "split.gguf", kind="Q4_1", tensors_per_part=12)
    given = first.with_name(first.name.replace("00001-of", f"{part:05d}-of"))
    assert _digest(given, tmp_path / "a") == _digest(whole, tmp_path / "b")
    manifest = json.loads((tmp_path / "a" / MANIFEST_NAME).read_text())
    parts = {path.name: path.read_bytes() for path in sorted(tmp_path.glob("split-*"))}
    assert len(parts) == 3
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    assert manifest["source"]["parts"] == hashes
    assert manifest["source"]["size_bytes"] == sum(map(len, parts.values()))


# Variants


def _assert_computes(folder: Path, expected: np.ndarray, tokens: list[int], out: Path) -> None:
    with open_model(folder, None) as model:
        assert relative_error(source_logits(model, tokens), expected) < 1e-5
    export_checkpoint(folder, out, facts=_FACTS, settings=_FLOAT32)
    logits = package_logits(out, tokens)
    assert relative_error(logits, expected[PREFILL_TOKENS - 1 :]) < 1e-3


@pytest.mark.parametrize("style", ["current", "published"])
@pytest.mark.parametrize("name", ["qwen2", "qwen3"])
def test_a_qwen_that_uses_its_window(name: str, style: Any, tmp_path: Path) -> None:
    base = ALL_CHECKPOINTS[name]
    used = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    kinds = ["full_attention", "sliding_attention", "sliding_attention"]
    checkpoint = replace(
        base,
        config={**base.config, **used, "layer_types": kinds},
        published={**base.published, **used},
    )
    expected = decoder_logits(checkpoint.config, checkpoint.weights, checkpoint.tokens)
    assert relative_error(expected, load_reference_logits(name)) > 0.05
    folder = checkpoint.write_folder(tmp_path / "model", style=style)
    _assert_computes(folder, expected, checkpoint.tokens, tmp_path / "package")


def _write_multimodal(folder: Path, checkpoint: TinyCheckpoint, prefix: str, vision: str) -> Path:
    """The folder of a Gemma 3 that sees pictures: the decoder is one part of it."""
    checkpoint.write_folder(folder)
    weights = {
        prefix + name.removeprefix("model."): values for name, values in checkpoint.weights.items()
    }
    picture = np.ones((4, 4), dtype=np.float32)
    weights[f"{vision}vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight"] = picture
    weights[f"{vision}multi_modal_projector.mm_input_projection_weight"] = picture
    write_safetensors(folder / "model.safetensors", weights, "float32")
    text = {key: value for key, value in checkpoint.published.items() if key != "architectures"}
    outer = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}
    config = {**outer, "text_config": text, "vision_config": {"hidden_size": 4}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("prefix", "vision"),
    [("language_model.model.", ""), ("model.language_model.", "model.")],
    ids=["transformers 4", "transformers 5"],
)
def test_the_language_model_of_a_gemma_that_sees(prefix: str, vision: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS["gemma3-linear"]
    folder = _write_multimodal(tmp_path / "model", checkpoint, prefix, vision)
    expected = load_reference_logits("gemma3-linear")
    _assert_computes(folder, expected, checkpoint.tokens, tmp_path / "package")


def test_a_gemma_states_only_what_differs_from_the_class(tmp_path: Path) -> None:
    base = ALL_CHECKPOINTS["gemma3"]
    usual = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}
    checkpoint = replace(
        base,
        name="gemma3-usual",
        config={**base.config, **usual, "query_pre_attn_scalar": 256},
        published={**base.published, **usual, "query_pre_attn_scalar": 256},
    )
    folder = _write_multimodal(
        tmp_path / "model", checkpoint, "language_model.model.", "vision_tower."
    )
    path = folder / "config.json"
    config = json.loads(path.read_text())
    # The keys of the published 4B model, which leaves the rest to transformers.
    stated = ("hidden_size", "intermediate_size", "model_type", "num_hidden_layers")
    text = config["text_config"]
    config["text_config"] = {key: text[key] for key in (*stated, "sliding_window")}
    path.write_text(json.dumps(config))
    expected = decoder_logits(checkpoint.config, checkpoint.weights, checkpoint.tokens)
    with open_model(folder, None) as model:
        assert relative_error(source_logits(model, checkpoint.tokens), expected) < 1e-5


# What is refused, before anything is written


@pytest.mark.parametrize(
    ("name", "changes", "error", "match"),
    [
        ("gemma3", {"final_logit_softcapping": 30.0}, UnsupportedError, "Gemma 2"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, UnsupportedError, "Gemma 2"),
        ("gemma3", {"layer_types": ["full_attention"]}, DamagedFileError, "1 entries for 7"),
        ("gemma3", {"query_pre_attn_scalar": -1}, DamagedFileError, "query_pre_attn_scalar"),
        ("smollm3", {"no_rope_layers": [1, 0]}, DamagedFileError, "2 entries for 5 layers"),
        ("qwen3", {"architectures": ["Qwen3MoeForCausalLM"]}, UnsupportedError, "'Qwen3Moe"),
        ("mistral", {"architectures": ["MixtralForCausalLM"]}, UnsupportedError, "'Mixtral"),
        ("gemma3", {"architectures": ["Gemma2ForCausalLM"]}, UnsupportedError, "'Gemma2"),
        (
            "llama3",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            UnsupportedError,
            "by 'dynamic'; linear scaling",
        ),
        (
            "llama3",
            {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 0.0}},
            DamagedFileError,
            "factor is 0",
        ),
        ("llama3", {"rope_parameters": {"rope_theta": -1.0}}, DamagedFileError, "rotary freq"),
        ("llama3", {"head_dim": 12, "num_attention_heads": 8}, UnsupportedError, "width 12"),
        ("llama3", {"hidden_act": "relu"}, UnsupportedError, "'relu'"),
        ("llama3", {"num_key_value_heads": 3}, DamagedFileError, "4 query heads do not share 3"),
        ("llama3", {"num_hidden_layers": 4}, DamagedFileError, r"layers\.3\.input_layernorm"),
        ("llama3", {"num_hidden_layers": 2}, UnsupportedError, r"layers\.2\..* and 8 more"),
        ("llama3", {"intermediate_size": 96}, DamagedFileError, "shape 160 x 128 where .* 96 x"),
        ("llama3", {"tie_word_embeddings": True, "hidden_size": None}, DamagedFileError, "hidden"),
        (
            "phi4-mini",
            {"partial_rotary_factor": 0.625, "rope_parameters": None},
            UnsupportedError,
            "40 of the 64 values of a head are rotated, and the runtime needs a multiple of 16",
        ),
        ("phi4-mini", {"partial_rotary_factor": 1.5}, DamagedFileError, "partial_rotary_factor"),
        (
            "phi3-long",
            {"rope_parameters": None, "rope_scaling": {"type": "longrope", "long_factor": [1.0]}},
            DamagedFileError,
            "_factor",
        ),
    ],
)
def test_configurations_that_are_not_supported(
    name: str, changes: dict[str, Any], error: type[EdgeAgentError], match: str, tmp_path: Path
) -> None:
    folder = ALL_CHECKPOINTS[name].write_folder(tmp_path / "model")
    if name == "phi4-mini" and "partial_rotary_factor" in changes:
        changes = {"rope_parameters": None, **changes}
    _change_config(folder, changes)
    with pytest.raises(error, match=match) as caught:
        export_checkpoint(folder, tmp_path / "package", facts=_FACTS, settings=_UNVERIFIED)
    assert str(caught.value).endswith(".")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = ALL_CHECKPOINTS["llama3"].write_folder(tmp_path / "model")
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    last = tokenizer["added_tokens"][-1]
    tokenizer["added_tokens"] += [
        {**last, "id": last["id"] + at, "content": f"<extra{at}>"} for at in range(1, 100)
    ]
    path.write_text(json.dumps(tokenizer))
    _change_config(folder, {"vocab_size": 400})
    with pytest.raises(DamagedFileError, match=r"tokens and 320 embeddings"):
        export_checkpoint(folder, tmp_path / "package", facts=_FACTS, settings=_UNVERIFIED)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
