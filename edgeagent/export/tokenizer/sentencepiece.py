"""SentencePiece BPE (`tokenizer.ggml.model` is `llama`) as the components of tokenizer.json.

Such a file has scores in place of merges: SentencePiece joins the neighbours whose union scores
best. The merges that do the same are every way of cutting a token into two, best score first; this
is how the published tokenizer.json files of these models were made.
"""

from __future__ import annotations

import math

from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.tokenizer.components import Merge, TokenizerComponents, damaged_tokenizer
from edgeagent.export.tokenizer.pretokenizers import Json
from edgeagent.export.tokenizer.vocabulary import TokenType, Vocabulary

SPACE = "\u2581"  # SentencePiece writes a space as a lower one-eighth block
_MAX_CHARACTERS = 16_000_000  # of all tokens; the work grows with them


def sentencepiece_components(gguf: MetadataReader, vocabulary: Vocabulary) -> TokenizerComponents:
    """Derive merges from scores; spaces become U+2581 and unknown characters bytes.

    Raises:
        DamagedFileError: scores that do not fit the tokens, or no byte tokens.
    """
    scores = gguf.get_floats("tokenizer.ggml.scores")
    if len(scores) != len(vocabulary.tokens) or not all(map(math.isfinite, scores)):
        what = f"{len(vocabulary.tokens)} tokens need as many finite scores"
        raise damaged_tokenizer(vocabulary.path, what)
    if any(f"<0x{byte:02X}>" not in vocabulary.ids for byte in range(256)):
        raise damaged_tokenizer(vocabulary.path, "it lacks some of the 256 byte tokens")
    return sentencepiece_frame(
        _merges_from_scores(scores, vocabulary),
        add_space=gguf.get_bool("tokenizer.ggml.add_space_prefix", True),
    )


def sentencepiece_frame(merges: list[Merge], *, add_space: bool) -> TokenizerComponents:
    """The components around the merges of a SentencePiece model.

    Args:
        merges: pairs of tokens, first to be applied first.
        add_space: whether a space goes in front of every piece of text between special tokens.
    """
    steps: list[Json] = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    decoders: list[Json] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if add_space:
        steps.insert(0, {"type": "Prepend", "prepend": SPACE})
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return TokenizerComponents(
        normalizer={"type": "Sequence", "normalizers": steps},
        pre_tokenizer=None,
        decoder={"type": "Sequence", "decoders": decoders},
        merges=merges,
        byte_fallback=True,
        # Under every other class onnxruntime-genai 0.18 also cuts at spaces and digits.
        tokenizer_class="GemmaTokenizer",
        add_bos=True,
    )


def _merges_from_scores(scores: list[float], vocabulary: Vocabulary) -> list[Merge]:
    ids = {
        token: index
        for token, index in vocabulary.ids.items()
        if vocabulary.types[index] is TokenType.NORMAL
    }
    if sum(map(len, ids)) > _MAX_CHARACTERS:
        raise damaged_tokenizer(vocabulary.path, "its tokens are longer than any known tokenizer's")
    ranked: list[tuple[float, bool, int, int, Merge]] = []
    for token, index in ids.items():
        for cut in range(1, len(token)):
            left = ids.get(token[:cut])
            right = None if left is None else ids.get(token[cut:])
            if left is not None and right is not None:
                # Runs of spaces have one score. SentencePiece joins from the left, the runtime all
                # equal pairs at once: both come to the same when doubling is first.
                merge = (token[:cut], token[cut:])
                ranked.append((-scores[index], left != right, left, right, merge))
    ranked.sort()
    return [merge for *_, merge in ranked]
