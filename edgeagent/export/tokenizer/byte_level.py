"""Byte-level BPE (`tokenizer.ggml.model` is `gpt2`) as the components of tokenizer.json."""

from __future__ import annotations

from edgeagent.errors import UnsupportedError
from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.tokenizer.components import TokenizerComponents
from edgeagent.export.tokenizer.pretokenizers import PRE_TOKENIZERS
from edgeagent.export.tokenizer.vocabulary import Vocabulary, damaged_tokenizer


def byte_level_components(gguf: MetadataReader, vocabulary: Vocabulary) -> TokenizerComponents:
    """Vocabulary, merges and pre-tokenizer as they stand in the file.

    Raises:
        UnsupportedError: `tokenizer.ggml.pre` is not known.
        DamagedFileError: a merge that is not two known tokens.
    """
    name = gguf.get_str("tokenizer.ggml.pre", "missing")
    pre = PRE_TOKENIZERS.get(name)
    if pre is None:
        raise UnsupportedError(
            f"{gguf.path} cuts text with the pre-tokenizer {name[:80]!r}, which is not known;"
            f" known are {', '.join(PRE_TOKENIZERS)}."
        )
    merges = gguf.get_strings("tokenizer.ggml.merges")
    _check_merges(merges, vocabulary)
    decoder = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return TokenizerComponents(
        normalizer=pre.normalizer,
        pre_tokenizer=pre.component,
        decoder=decoder,
        merges=merges,
        ignore_merges=pre.ignore_merges,
        add_bos=pre.add_bos,
    )


def _check_merges(merges: list[str], vocabulary: Vocabulary) -> None:
    ids = vocabulary.ids
    for rank, merge in enumerate(merges):
        left, _, right = merge.partition(" ")
        # Byte-level tokens hold no space: the character for it is U+0120.
        if left not in ids or right not in ids or left + right not in ids:
            what = f"merge {rank} ({merge[:80]!r}) does not join two tokens into a third"
            raise damaged_tokenizer(vocabulary.path, what)
