"""Tokenizer and chat template of a GGUF file, as the files onnxruntime-genai reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import MissingExtraError, UnsupportedError
from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.tokenizer.byte_level import byte_level_components
from edgeagent.export.tokenizer.components import TokenizerComponents
from edgeagent.export.tokenizer.pretokenizers import Json
from edgeagent.export.tokenizer.sentencepiece import sentencepiece_components
from edgeagent.export.tokenizer.vocabulary import Vocabulary, damaged_tokenizer, read_vocabulary

_END_OF_TURN = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
)
"""Control tokens that end an answer, whichever of them the file names as its EOS."""

_KINDS: dict[str, Callable[[MetadataReader, Vocabulary], TokenizerComponents]] = {
    "gpt2": byte_level_components,
    "llama": sentencepiece_components,
}
"""Kinds of tokenizers by the value of `tokenizer.ggml.model`."""


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer in Hugging Face form.

    Attributes:
        tokenizer_json: content of tokenizer.json.
        config: content of tokenizer_config.json.
        chat_template: the Jinja template of the model, None if the file has none.
        bos_id: token that starts a text, None if there is none.
        eos_ids: tokens that end an answer; the first is the one the file names.
        pad_id: token that fills up batches.
        add_bos: whether the model expects BOS in front of a prompt.
    """

    tokenizer_json: str
    config: Json
    chat_template: str | None
    bos_id: int | None
    eos_ids: tuple[int, ...]
    pad_id: int
    add_bos: bool


def build_tokenizer(gguf: MetadataReader) -> TokenizerFiles:
    """Build the tokenizer that the metadata of a GGUF file describes.

    Raises:
        UnsupportedError: a kind of tokenizer or a pre-tokenizer that is not known.
        DamagedFileError: metadata that is missing or contradicts itself.
        MissingExtraError: the `tokenizers` package is not installed.
    """
    kind = gguf.get_str("tokenizer.ggml.model")
    components_of = _KINDS.get(kind)
    if components_of is None:
        raise UnsupportedError(
            f"{gguf.path} has a tokenizer of the kind {kind[:80]!r}, which is not supported;"
            f" supported are {', '.join(_KINDS)}."
        )
    vocabulary = read_vocabulary(gguf)
    components = components_of(gguf, vocabulary)
    bos_id = vocabulary.special_id(gguf, "bos")
    eos_ids = _eos_ids(gguf, vocabulary)
    pad_id = vocabulary.special_id(gguf, "padding")
    if pad_id is None:
        pad_id = eos_ids[0]
    add_bos = gguf.get_bool("tokenizer.ggml.add_bos_token", components.add_bos)
    if add_bos and bos_id is None:
        raise damaged_tokenizer(gguf.path, "prompts start with BOS and there is no BOS token")
    unknown_id = vocabulary.special_id(gguf, "unknown")
    tokenizer_json = _tokenizer_json(vocabulary, components, unknown_id)
    _check_loads(tokenizer_json, gguf.path)
    config: Json = {
        "tokenizer_class": components.tokenizer_class,
        "add_bos_token": add_bos,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "eos_token": vocabulary.tokens[eos_ids[0]],
        "pad_token": vocabulary.tokens[pad_id],
    }
    # onnxruntime-extensions reads EOS and the unknown token only where there is a BOS.
    config["bos_token"] = vocabulary.tokens[eos_ids[0] if bos_id is None else bos_id]
    if unknown_id is not None:
        config["unk_token"] = vocabulary.tokens[unknown_id]
    chat_template = gguf.get_str("tokenizer.chat_template", None)
    if chat_template is not None:
        config["chat_template"] = chat_template
    return TokenizerFiles(tokenizer_json, config, chat_template, bos_id, eos_ids, pad_id, add_bos)


def write_tokenizer(files: TokenizerFiles, folder: Path) -> tuple[Path, ...]:
    """Write `tokenizer.json`, `tokenizer_config.json` and, if there is one, `chat_template.jinja`.

    Args:
        files: from `build_tokenizer`.
        folder: an existing folder; the exporter renames it into place when it is complete.

    Returns:
        The files written.
    """
    contents = {
        "tokenizer.json": files.tokenizer_json,
        "tokenizer_config.json": json.dumps(files.config, ensure_ascii=False, indent=2) + "\n",
    }
    if files.chat_template is not None:
        contents["chat_template.jinja"] = files.chat_template
    written = []
    for name, content in contents.items():
        path = folder / name
        path.write_bytes(content.encode("utf-8"))  # bytes: no platform changes the line ends
        written.append(path)
    return tuple(written)


def _eos_ids(gguf: MetadataReader, vocabulary: Vocabulary) -> tuple[int, ...]:
    named = [vocabulary.special_id(gguf, name) for name in ("eos", "eot", "eom")]
    known = [vocabulary.ids[token] for token in _END_OF_TURN if vocabulary.is_control(token)]
    ids = tuple(dict.fromkeys([index for index in named if index is not None] + known))
    if not ids:
        raise damaged_tokenizer(gguf.path, "no token ends an answer")
    return ids


def _tokenizer_json(
    vocabulary: Vocabulary, components: TokenizerComponents, unknown_id: int | None
) -> str:
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": special,
        }
        for index, token, special in vocabulary.added()
    ]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": vocabulary.tokens[unknown_id]
        if components.byte_fallback and unknown_id is not None
        else None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": components.byte_fallback,
        "byte_fallback": components.byte_fallback,
        "ignore_merges": components.ignore_merges,
        "vocab": vocabulary.ids,
        "merges": components.merges,
    }
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": components.normalizer,
        "pre_tokenizer": components.pre_tokenizer,
        "post_processor": None,
        "decoder": components.decoder,
        "model": model,
    }
    return json.dumps(document, ensure_ascii=False)


def _check_loads(tokenizer_json: str, path: Path) -> None:
    """Load the result once, so that a broken one is found before it is written."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError(
            "exporting needs the tokenizers package; run: pip install 'edgeagent[export]'"
        ) from None
    try:
        Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # the library raises plain Exception
        raise damaged_tokenizer(path, f"the tokenizers library rejects it ({error})") from error
