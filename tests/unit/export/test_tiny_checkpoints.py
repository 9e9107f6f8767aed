"""The oracle of model families: both forms, the recorded logits, and that every feature matters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoints import (
    ALL_CHECKPOINTS,
    REFERENCE_FOLDER,
    TinyCheckpoint,
    decoder_logits,
    load_reference_logits,
    reference_transformers_version,
    relative_error,
)
from tiny_checkpoints.weights import Weights

from edgeagent.export.checkpoint.gguf.reader import GGUFFile

ALL = list(ALL_CHECKPOINTS)
IN_GGUF = [name for name in ALL if ALL_CHECKPOINTS[name].gguf_architecture is not None]
Change = Callable[[dict[str, Any], Weights], None]


def read_safetensors(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    safetensors = pytest.importorskip("safetensors")
    return {
        name: (entry["dtype"], tuple(entry["shape"]), bytes(entry["data"]))
        for name, entry in safetensors.deserialize(path.read_bytes())
    }


# The reference


def test_every_checkpoint_has_recorded_logits_and_nothing_else_is_recorded() -> None:
    assert sorted(path.stem for path in REFERENCE_FOLDER.glob("*.npz")) == sorted(ALL)
    assert {reference_transformers_version(name) for name in ALL} == {"5.23.0"}


@pytest.mark.parametrize("name", ALL)
def test_the_decoder_in_numpy_agrees_with_transformers(name: str) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    expected = load_reference_logits(name)
    actual = decoder_logits(checkpoint.config, checkpoint.weights, checkpoint.tokens)
    assert expected.shape == (len(checkpoint.tokens), checkpoint.config["vocab_size"])
    assert 2.0 < expected.std() < 5.0
    assert relative_error(actual, expected) < 1e-5


def test_a_mistral_gguf_means_full_attention() -> None:
    checkpoint = ALL_CHECKPOINTS["mistral"]
    expected = load_reference_logits("mistral", "gguf")
    actual = decoder_logits(checkpoint.gguf_config, checkpoint.weights, checkpoint.tokens)
    assert relative_error(actual, expected) < 1e-5
    assert relative_error(actual, load_reference_logits("mistral")) > 0.1


# The folder


@pytest.mark.parametrize(("dtype", "code"), [("float32", "F32"), ("bfloat16", "BF16")])
@pytest.mark.parametrize("name", ["llama3-tied", "gemma3", "phi3"])
def test_a_folder_holds_the_weights(name: str, dtype: Any, code: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    stored = read_safetensors(checkpoint.write_folder(tmp_path, dtype=dtype) / "model.safetensors")
    assert set(stored) == set(checkpoint.weights)
    for tensor, (kind, shape, raw) in stored.items():
        values = np.frombuffer(raw, "<f4" if code == "F32" else "<u2").reshape(shape)
        if code == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        assert kind == code
        assert np.array_equal(values, checkpoint.weights[tensor])


def test_float16_is_exact_too(tmp_path: Path) -> None:
    for checkpoint in ALL_CHECKPOINTS.values():
        folder = checkpoint.write_folder(tmp_path / checkpoint.name, dtype="float16")
        for name, (_, shape, raw) in read_safetensors(folder / "model.safetensors").items():
            values = np.frombuffer(raw, "<f2").reshape(shape)
            assert np.array_equal(values.astype(np.float32), checkpoint.weights[name])


def test_shards_divide_the_tensors(tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS["qwen3"]
    checkpoint.write_folder(tmp_path, shards=3)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf-8"))
    files = sorted(tmp_path.glob("*.safetensors"))
    assert [file.name for file in files] == [f"model-0000{at}-of-00003.safetensors" for at in "123"]
    found = {name: file.name for file in files for name in read_safetensors(file)}
    assert found == index["weight_map"]
    assert set(found) == set(checkpoint.weights)
    total = sum(tensor.nbytes for tensor in checkpoint.weights.values())
    assert index["metadata"]["total_size"] == total


@pytest.mark.parametrize("name", ALL)
def test_both_dialects_of_the_configuration_are_there(name: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    current, published = (
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for folder in (
            checkpoint.write_folder(tmp_path / "current"),
            checkpoint.write_folder(tmp_path / "published", style="published"),
        )
    )
    assert "rope_parameters" in current
    assert "rope_theta" not in current
    assert "rope_theta" in published
    assert "rope_parameters" not in published
    assert (current["dtype"], published["torch_dtype"]) == ("float32", "float32")


@pytest.mark.parametrize("name", ALL)
def test_the_tokenizer_loads_and_knows_its_special_tokens(name: str, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = ALL_CHECKPOINTS[name].vocabulary
    folder = ALL_CHECKPOINTS[name].write_folder(tmp_path)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = f"The thing and 12 caf\u00e9s{vocabulary.turn_end}"
    ids = tokenizer.encode(text).ids
    assert (
        tokenizer.decode(ids, skip_special_tokens=False).removeprefix(
            vocabulary.bos if vocabulary.prepend_bos and vocabulary.bos else ""
        )
        == text
    )
    assert ids[-1] == vocabulary.eos_ids[0]
    assert (ids[0] == vocabulary.bos_id) == vocabulary.prepend_bos
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["eos_token_id"] == vocabulary.eos_ids


# The GGUF


@pytest.mark.parametrize("name", IN_GGUF)
def test_the_reader_of_the_package_opens_every_gguf(name: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    path = checkpoint.write_gguf(tmp_path / "tiny.gguf", kind="F16")
    with GGUFFile.open(path) as file:
        assert file.architecture == checkpoint.gguf_architecture
        prefix = f"{file.architecture}."
        assert file.get_int(f"{prefix}block_count") == checkpoint.config["num_hidden_layers"]
        assert file.tensors["token_embd.weight"].shape == (320, 128)
        assert len(file.get_strings("tokenizer.ggml.tokens")) == 320
        stated = file.get_int(f"{prefix}attention.sliding_window", 0)
        window = checkpoint.gguf_config.get("sliding_window")
        assert stated == (window or 0)
        assert ("output.weight" in file.tensors) != checkpoint.config["tie_word_embeddings"]
    logits = checkpoint.gguf_logits(path)
    assert relative_error(logits, load_reference_logits(name, "gguf")) < 1e-5


def test_a_model_that_a_gguf_cannot_express_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gemma3-scalar"):
        ALL_CHECKPOINTS["gemma3-scalar"].write_gguf(tmp_path / "tiny.gguf")


@pytest.mark.parametrize(
    ("kind", "limit"),
    # Steps of the coarsest sub-block, as a share of the largest weight: a whole one where the
    # largest weight takes the end of the range (Q4_0 and Q5_0), else half of one.
    [
        *[("Q4_0", 0.126), ("Q4_1", 0.07), ("Q5_0", 0.063), ("Q5_1", 0.04), ("Q8_0", 0.005)],
        *[("Q4_K", 0.08), ("Q5_K", 0.05), ("Q6_K", 0.05), ("BF16", 0.0), ("F16", 0.0)],
    ],
)
def test_every_block_type_stores_the_weights(kind: str, limit: float, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS["llama3"].wide()
    path = checkpoint.write_gguf(tmp_path / "tiny.gguf", kind=kind)
    with GGUFFile.open(path) as file:
        assert file.tensors["blk.0.attn_q.weight"].type.name == kind
        assert file.tensors["blk.0.attn_norm.weight"].type.name == "F32"
    stored = checkpoint.gguf_weights(path)
    worst = max(relative_error(stored[name], checkpoint.weights[name]) for name in stored)
    assert worst <= limit


def test_a_mixture_is_chosen_by_tensor_and_by_part(tmp_path: Path) -> None:
    path = ALL_CHECKPOINTS["qwen2"].write_gguf(
        tmp_path / "tiny.gguf",
        kind="Q4_0",
        kinds={"attn_v": "Q8_0", "blk.1.attn_v.weight": "F16", "token_embd.weight": "Q5_1"},
    )
    with GGUFFile.open(path) as file:
        kinds = {name: info.type.name for name, info in file.tensors.items()}
    assert kinds["token_embd.weight"] == "Q5_1"
    assert kinds["blk.0.attn_q.weight"] == "Q4_0"
    assert kinds["blk.0.attn_v.weight"] == "Q8_0"
    assert kinds["blk.1.attn_v.weight"] == "F16"
    assert kinds["blk.0.attn_q.bias"] == "F32"


def test_a_file_is_split_into_parts(tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS["llama3"]
    first = checkpoint.write_gguf(tmp_path / "tiny.gguf", kind="Q8_0", tensors_per_part=12)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"tiny-0000{at}-of-00003.gguf" for at in (1, 2, 3)]
    assert first.name == files[0]
    whole = checkpoint.write_gguf(tmp_path / "whole.gguf", kind="Q8_0")
    assert np.array_equal(checkpoint.gguf_logits(first), checkpoint.gguf_logits(whole))


# The same everywhere and always


@pytest.mark.parametrize("name", IN_GGUF)
def test_files_are_the_same_bytes_each_time(name: str, tmp_path: Path) -> None:
    checkpoint = ALL_CHECKPOINTS[name]
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        checkpoint.write_folder(folder, dtype="bfloat16", shards=2)
        checkpoint.write_gguf(folder / "tiny.gguf", kind="Q4_1")
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1]


def test_weights_do_not_change_with_numpy_or_platform() -> None:
    digest = hashlib.sha256()
    for name in ALL:
        for tensor, values in ALL_CHECKPOINTS[name].weights.items():
            digest.update(f"{name}/{tensor}".encode() + values.astype("<f4").tobytes())
    assert (
        digest.hexdigest() == "dc119238636265e2ce07bc67d708ccf61f2bf959501d3ed5d8d969438e8d188a"
    ), "the recorded logits belong to other weights; record them again"


# Every feature matters


def with_config(**changes: object) -> Change:
    def change(config: dict[str, Any], _: Weights) -> None:
        config.update(changes)

    return change


def with_rope(kind: str | None = None, /, **changes: object) -> Change:
    def change(config: dict[str, Any], _: Weights) -> None:
        rope = dict(config["rope_parameters"])
        if kind is None:
            rope.update(changes)
        else:
            rope[kind] = {**rope[kind], **changes}
        config["rope_parameters"] = rope

    return change


def with_tensors(part: str, change_values: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(_: dict[str, Any], weights: Weights) -> None:
        for name in weights:
            if part in name:
                weights[name] = change_values(weights[name])

    return change


def without_scores_of(part: str) -> Change:
    return with_tensors(part, np.ones_like)


def swap_halves(values: np.ndarray) -> np.ndarray:
    return np.concatenate(np.split(values, 2)[::-1])


def neighbours(values: np.ndarray) -> np.ndarray:
    """Rows of heads of 32 in ggml's order, as a reader that forgets to undo it has them."""
    return values.reshape(-1, 2, 16, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def tie(config: dict[str, Any], weights: Weights) -> None:
    del weights["lm_head.weight"]


def plain_rope(config: dict[str, Any], _: Weights) -> None:
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": 10_000.0}


SLIDING = ["sliding_attention"] * 7
ABLATIONS: Mapping[str, tuple[str, Change]] = {
    "llama3: scaling of positions": ("llama3", with_rope(rope_type="default")),
    "llama3: its smooth middle": ("llama3", with_rope(high_freq_factor=1.0001)),
    "llama3: head of its own": ("llama3", tie),
    "llama3: order of rows": ("llama3-tied", with_tensors("q_proj", neighbours)),
    "smollm2: base of positions": ("smollm2", with_rope(rope_theta=10_000.0)),
    "qwen2: bias of Q": ("qwen2", with_tensors("q_proj.bias", np.zeros_like)),
    "qwen2: bias of K": ("qwen2", with_tensors("k_proj.bias", np.zeros_like)),
    "qwen2: bias of V": ("qwen2", with_tensors("v_proj.bias", np.zeros_like)),
    "qwen2: window that is not used": ("qwen2", with_config(sliding_window=8, layer_types=SLIDING)),
    "qwen3: norm of Q": ("qwen3", without_scores_of("q_norm")),
    "qwen3: norm of K": ("qwen3", without_scores_of("k_norm")),
    "mistral: window": ("mistral", with_config(sliding_window=None)),
    "mistral: one key more": ("mistral", with_config(sliding_window=9)),
    "smollm3: layer without positions": ("smollm3", with_config(no_rope_layers=[1] * 5)),
    "smollm3: which layer": ("smollm3", with_config(no_rope_layers=[0, 1, 1, 1, 0])),
    "phi3: window": ("phi3", with_config(sliding_window=None)),
    "phi3: gate before up": ("phi3", with_tensors("gate_up_proj", swap_halves)),
    "phi3-long: long factors": (
        "phi3-long",
        with_rope(long_factor=[1.0 + 0.0625 * pair for pair in range(16)]),
    ),
    "phi3-long: attention factor": ("phi3-long", with_config(max_position_embeddings=32)),
    "phi4-mini: short factors": ("phi4-mini", with_rope(short_factor=[1.0] * 24)),
    "phi4-mini: attention factor": ("phi4-mini", with_config(max_position_embeddings=256)),
    "phi4-mini: part of a head": ("phi4-mini", plain_rope),
    "gemma3: window": ("gemma3", with_config(sliding_window=None)),
    "gemma3: one key more": ("gemma3", with_config(sliding_window=9)),
    "gemma3: a layer that sees all": ("gemma3", with_config(layer_types=SLIDING)),
    "gemma3: local base": ("gemma3", with_rope("sliding_attention", rope_theta=1e6)),
    "gemma3: global base": ("gemma3", with_rope("full_attention", rope_theta=1e4)),
    "gemma3: norm of Q": ("gemma3", with_tensors("q_norm", np.zeros_like)),
    "gemma3: norm of K": ("gemma3", with_tensors("k_norm", np.zeros_like)),
    "gemma3: norm after attention": (
        "gemma3",
        with_tensors("post_attention_layernorm", np.zeros_like),
    ),
    "gemma3: norm after the MLP": (
        "gemma3",
        with_tensors("post_feedforward_layernorm", np.zeros_like),
    ),
    "gemma3: one plus the weight": ("gemma3", with_tensors("norm.weight", lambda w: w - 1)),
    "gemma3: scaled embedding": ("gemma3", with_config(hidden_size=1)),  # scales by its root
    "gemma3: activation": ("gemma3", with_config(hidden_activation="silu")),
    "gemma3-linear: factor": ("gemma3-linear", with_rope("full_attention", factor=1.0)),
    "gemma3-linear: not where it slides": (
        "gemma3-linear",
        with_rope("sliding_attention", rope_type="linear", factor=8.0),
    ),
    "llama-linear: factor": ("llama-linear", with_rope(factor=1.0)),
    "qwen3-yarn: factor": ("qwen3-yarn", with_rope(factor=1.0001)),
    "qwen3-yarn: original length": ("qwen3-yarn", with_rope(original_max_position_embeddings=32)),
    "gemma3-scalar: scale of scores": ("gemma3-scalar", with_config(query_pre_attn_scalar=64)),
}


@pytest.mark.parametrize("feature", list(ABLATIONS))
def test_without_a_feature_the_logits_are_far_off(feature: str) -> None:
    name, change = ABLATIONS[feature]
    checkpoint: TinyCheckpoint = ALL_CHECKPOINTS[name]
    config, weights = dict(checkpoint.config), dict(checkpoint.weights)
    change(config, weights)
    logits = decoder_logits(config, weights, checkpoint.tokens)
    assert relative_error(logits, load_reference_logits(name)) > 0.05
