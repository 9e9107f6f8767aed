"""Tokenizer and chat template of a GGUF file, as the files onnxruntime-genai reads."""

from __future__ import annotations

from collections.abc import Callable

from edgeagent.errors import UnsupportedError
from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.tokenizer.byte_level import byte_level_components
from edgeagent.export.tokenizer.components import (
    TokenizerComponents,
    check_loads,
    damaged_tokenizer,
    tokenizer_json,
)
from edgeagent.export.tokenizer.files import TokenizerFiles, end_of_answer, runtime_config
from edgeagent.export.tokenizer.sentencepiece import sentencepiece_components
from edgeagent.export.tokenizer.vocabulary import Vocabulary, read_vocabulary

_KINDS: dict[str, Callable[[MetadataReader, Vocabulary], TokenizerComponents]] = {
    "gpt2": byte_level_components,
    "llama": sentencepiece_components,
}
"""Kinds of tokenizers by the value of `tokenizer.ggml.model`."""


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
    named = [vocabulary.special_id(gguf, name) for name in ("eos", "eot", "eom")]
    eos_ids = end_of_answer(named, vocabulary.control_id)
    if not eos_ids:
        raise damaged_tokenizer(gguf.path, "no token ends an answer")
    pad_id = vocabulary.special_id(gguf, "padding")
    if pad_id is None:
        pad_id = eos_ids[0]
    add_bos = gguf.get_bool("tokenizer.ggml.add_bos_token", components.add_bos)
    if add_bos and bos_id is None:
        raise damaged_tokenizer(gguf.path, "prompts start with BOS and there is no BOS token")
    text = vocabulary.tokens
    unknown_id = vocabulary.special_id(gguf, "unknown")
    unknown = None if unknown_id is None else text[unknown_id]
    added = vocabulary.added(gguf)
    content = tokenizer_json(vocabulary.ids, added, components, unknown)
    check_loads(content, added, gguf.path)
    chat_template = gguf.get_str("tokenizer.chat_template", None)
    config = runtime_config(
        components.tokenizer_class,
        bos=None if bos_id is None else text[bos_id],
        eos=text[eos_ids[0]],
        pad=text[pad_id],
        unknown=unknown,
        add_bos=add_bos,
        chat_template=chat_template,
    )
    return TokenizerFiles(content, config, chat_template, bos_id, tuple(eos_ids), pad_id, add_bos)
