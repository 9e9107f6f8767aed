"""Byte-level BPE (`tokenizer.ggml.model` is `gpt2`) as the components of tokenizer.json."""

from __future__ import annotations

from edgeagent.errors import UnsupportedError
from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.tokenizer.components import Merge, TokenizerComponents, damaged_tokenizer
from edgeagent.export.tokenizer.pretokenizers import PRE_TOKENIZERS, Json, byte_level
from edgeagent.export.tokenizer.vocabulary import Vocabulary

BYTE_LEVEL_DECODER: Json = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}


def byte_level_components(gguf: MetadataReader, vocabulary: Vocabulary) -> TokenizerComponents:
    """Vocabulary, merges and pre-tokenizer as they stand in the file.

    Raises:
        UnsupportedError: `tokenizer.ggml.pre` is missing or not known.
        DamagedFileError: a merge that is not two known tokens.
    """
    name = gguf.get_str("tokenizer.ggml.pre", "default")
    pre = PRE_TOKENIZERS.get(name)
    if pre is None:
        raise UnsupportedError(_not_known(gguf, name))
    return TokenizerComponents(
        normalizer=pre.normalizer,
        pre_tokenizer=byte_level(pre.cuts),
        decoder=BYTE_LEVEL_DECODER,
        merges=_merges(gguf, vocabulary),
        ignore_merges=pre.ignore_merges,
        add_bos=pre.add_bos,
    )


def _not_known(gguf: MetadataReader, name: str) -> str:
    if name == "default":
        return (
            f"{gguf.path} does not say how its tokenizer cuts text (tokenizer.ggml.pre); convert"
            " the model again with a current llama.cpp."
        )
    return (
        f"{gguf.path} cuts text with the pre-tokenizer {name[:80]!r}, which onnxruntime-genai"
        f" cannot follow or edgeagent does not know; known are {', '.join(PRE_TOKENIZERS)}."
    )


def _merges(gguf: MetadataReader, vocabulary: Vocabulary) -> list[Merge]:
    ids = vocabulary.ids
    merges = []
    for rank, merge in enumerate(gguf.get_strings("tokenizer.ggml.merges")):
        left, _, right = merge.partition(" ")
        # Byte-level tokens hold no space: the character for it is U+0120.
        if left not in ids or right not in ids or left + right not in ids:
            what = f"merge {rank} ({merge[:80]!r}) does not join two tokens into a third"
            raise damaged_tokenizer(vocabulary.path, what)
        merges.append((left, right))
    return merges
