"""The GGUF form, as llama.cpp's converter writes it for each architecture, and the way back.

Names come from the tables of the `gguf` package, which the converter uses; keys, order of rows and
extra tensors follow its classes for Llama, Qwen, SmolLM3, Phi-3 and Gemma-3 (`conversion/` in the
llama.cpp repository).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import (
    MODEL_ARCH,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFReader,
    GGUFWriter,
    LlamaFileType,
    RopeScalingType,
    TensorNameMap,
    TokenType,
    get_tensor_name_map,
)
from gguf.quants import dequantize, quantize

from tiny_checkpoints.decoder import llama3_divisors, longrope_attention_factor
from tiny_checkpoints.k_quants import K_QUANTS
from tiny_checkpoints.vocabulary import Vocabulary
from tiny_checkpoints.weights import Config, Weights, head_dim, tensor_shapes

_PERMUTED = {"llama", "mistral", "smollm3"}
"""Model types whose rows of Q and K the converter reorders; in every layer, rotary or not."""


def write_gguf(
    path: Path,
    architecture: str,
    config: Config,
    weights: Weights,
    vocabulary: Vocabulary,
    *,
    kind: str,
    kinds: Mapping[str, str],
    tensors_per_part: int,
) -> Path:
    """Write one file, or several parts, and return the first; vectors are always float32."""
    writer = GGUFWriter(path, architecture, split_max_tensors=tensors_per_part)
    writer.add_type("model")
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    if config["model_type"] == "phi3":
        _add_phi3_keys(writer, config)
    else:
        _add_keys(writer, config)
    writer.add_file_type(LlamaFileType.ALL_F32)
    _add_tokenizer(writer, vocabulary, config["vocab_size"])
    names = _name_map(architecture, config)
    for name, tensor in weights.items():
        stored = _converted(config, name, tensor)
        target = names.get_name(name, (".weight", ".bias"))
        if target is None:
            raise ValueError(f"{name} has no name in {architecture}")
        part = target.split(".")[-2]
        chosen = kinds.get(target, kinds.get(part, kind)) if stored.ndim == 2 else "F32"
        _add_tensor(writer, target, stored, GGMLQuantizationType[chosen])
    for name, vector in _rotary_tensors(config).items():
        writer.add_tensor(name, vector.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    first = writer.format_shard_names(path)[0]
    writer.close()
    return first


def read_gguf(path: Path, config: Config) -> Weights:
    """The weights of a file as float32, by the names and in the order of rows of transformers."""
    readers = [GGUFReader(part) for part in _parts(path)]
    architecture = str(readers[0].fields["general.architecture"].contents())
    names = _name_map(architecture, config)
    stored = {
        tensor.name: dequantize(tensor.data, tensor.tensor_type)
        for reader in readers
        for tensor in reader.tensors
    }
    return {
        name: _reverted(config, name, stored[str(names.get_name(name, (".weight", ".bias")))])
        for name in tensor_shapes(config)
    }


def _parts(path: Path) -> list[Path]:
    """All parts of a split file by its first, or the file itself."""
    stem, first, count = path.stem.partition("-00001-of-")
    return sorted(path.parent.glob(f"{stem}-?????-of-{count}.gguf")) if first else [path]


def _name_map(architecture: str, config: Config) -> TensorNameMap:
    known = {name: arch for arch, name in MODEL_ARCH_NAMES.items()}
    arch: MODEL_ARCH = known[architecture]
    return get_tensor_name_map(arch, config["num_hidden_layers"])


def _add_keys(writer: GGUFWriter, config: Config) -> None:
    """The hyperparameters of all architectures but Phi-3, whose class writes its own."""
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config["rope_parameters"]
    if "sliding_attention" in rope:
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    rope = rope.get("full_attention", rope)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if config["model_type"] == "gemma3_text":
        writer.add_sliding_window(config["sliding_window"])
    if config["model_type"] in _PERMUTED:
        writer.add_vocab_size(config["vocab_size"])
        writer.add_rope_dimension_count(head_dim(config))


def _add_phi3_keys(writer: GGUFWriter, config: Config) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    share = config["rope_parameters"]["partial_rotary_factor"]
    writer.add_rope_dimension_count(int(share * head_dim(config)))
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_sliding_window(config["sliding_window"] or 0)
    if config["rope_parameters"]["rope_type"] == "longrope":  # and no rope.scaling.type
        writer.add_rope_scaling_attn_factors(longrope_attention_factor(config))


def _rotary_tensors(config: Config) -> dict[str, npt.NDArray[np.float64]]:
    """Divisors of the rotary frequencies that the converter stores as tensors."""
    rope = config["rope_parameters"]
    match rope.get("rope_type"):
        case "llama3":
            width = head_dim(config)
            frequencies = rope["rope_theta"] ** -(np.arange(0, width, 2) / width)
            return {"rope_freqs.weight": llama3_divisors(frequencies, rope)}
        case "longrope":
            return {
                "rope_factors_long.weight": np.array(rope["long_factor"]),
                "rope_factors_short.weight": np.array(rope["short_factor"]),
            }
        case _:
            return {}


def _converted(
    config: Config, name: str, tensor: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    if config["model_type"] == "gemma3_text" and name.endswith("norm.weight"):
        return tensor + np.float32(1.0)
    order = _row_order(config, name, tensor.shape[0])
    return tensor if order is None else tensor[order]


def _reverted(
    config: Config, name: str, stored: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    if config["model_type"] == "gemma3_text" and name.endswith("norm.weight"):
        return stored - np.float32(1.0)
    order = _row_order(config, name, stored.shape[0])
    return stored if order is None else stored[np.argsort(order)]


def _row_order(config: Config, name: str, rows: int) -> npt.NDArray[np.intp] | None:
    """Which row of transformers lies at each place: rotary pairs become neighbours.

    In transformers a pair lies half a head apart, `(i, i + head_dim / 2)`.
    """
    if config["model_type"] not in _PERMUTED or (".q_proj." not in name and ".k_proj." not in name):
        return None
    return np.arange(rows).reshape(-1, 2, head_dim(config) // 2).swapaxes(1, 2).reshape(-1)


def _add_tensor(
    writer: GGUFWriter,
    name: str,
    values: npt.NDArray[np.float32],
    kind: GGMLQuantizationType,
) -> None:
    encode = K_QUANTS.get(kind)
    raw = quantize(values, kind) if encode is None else encode(values)
    if kind in {GGMLQuantizationType.F32, GGMLQuantizationType.F16}:
        writer.add_tensor(name, raw)
    else:
        writer.add_tensor(name, raw, raw_dtype=kind)


def _add_tokenizer(writer: GGUFWriter, vocabulary: Vocabulary, rows: int) -> None:
    base, tokens = len(vocabulary.base), vocabulary.tokens
    kinds = [TokenType.NORMAL] * base
    kinds += [
        TokenType.USER_DEFINED if token in vocabulary.added else TokenType.CONTROL
        for token in tokens[base:]
    ]
    unused = [f"[PAD{at}]" for at in range(len(tokens), rows)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list([*tokens, *unused])
    writer.add_token_types([*kinds, *[TokenType.UNUSED] * len(unused)])
    writer.add_token_merges(list(vocabulary.merges))
    if vocabulary.bos_id is not None:
        writer.add_bos_token_id(vocabulary.bos_id)
    writer.add_eos_token_id(vocabulary.eos_ids[0])
    writer.add_pad_token_id(vocabulary.eos_ids[0])
    writer.add_add_bos_token(vocabulary.prepend_bos)
    writer.add_chat_template(vocabulary.template)
