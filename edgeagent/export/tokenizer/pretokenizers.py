"""How each known byte-level BPE vocabulary cuts text into words before merging.

A GGUF file names its pre-tokenizer in `tokenizer.ggml.pre`; the names and which names share one
definition are those of llama.cpp (`llama-vocab.cpp`), the definitions those of the models' own
`tokenizer.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

Json = dict[str, object]
"""A component of tokenizer.json."""

_SPLIT_GPT2 = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # from GPT-2
)
_SPLIT_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLIT_LLAMA3 = _SPLIT_QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CLITIC = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_SPLIT_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CLITIC}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CLITIC}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class PreTokenizer:
    """What tokenizer.json needs to know beyond vocabulary and merges.

    Attributes:
        component: the `pre_tokenizer` of tokenizer.json.
        normalizer: the `normalizer`, None where text is taken as it is.
        ignore_merges: whether a word that is a token is taken whole.
        add_bos: whether prompts start with BOS where the file does not say.
    """

    component: Json
    normalizer: Json | None = None
    ignore_merges: bool = False
    add_bos: bool = False


def _byte_level(*, use_regex: bool) -> Json:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _split(*patterns: str) -> Json:
    """Cut by each pattern in turn, then map bytes to the printable characters of the vocabulary.

    Only `Split` with a regular expression is honoured by onnxruntime-genai inside a sequence: a
    `Digits` step, as in the published SmolLM2 files, is silently ignored there.
    """
    cuts = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in patterns
    ]
    return {"type": "Sequence", "pretokenizers": [*cuts, _byte_level(use_regex=False)]}


_GPT2 = PreTokenizer(_byte_level(use_regex=True))
_DIGIT_BY_DIGIT = PreTokenizer(_split(r"\p{N}", _SPLIT_GPT2))
_QWEN2 = PreTokenizer(_split(_SPLIT_QWEN2), normalizer={"type": "NFC"})
_LLAMA3 = PreTokenizer(_split(_SPLIT_LLAMA3), ignore_merges=True, add_bos=True)
_SMAUG = PreTokenizer(_split(_SPLIT_LLAMA3))
_GPT4O = PreTokenizer(_split(_SPLIT_GPT4O))

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    "gpt-2": _GPT2,
    "smollm": _DIGIT_BY_DIGIT,
    "starcoder": _DIGIT_BY_DIGIT,
    "refact": _DIGIT_BY_DIGIT,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "smaug-bpe": _SMAUG,
    "gpt-4o": _GPT4O,
}
"""Pre-tokenizers by the value of `tokenizer.ggml.pre`; a new one is one line here."""
