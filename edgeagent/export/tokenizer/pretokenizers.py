"""How each known byte-level BPE vocabulary cuts text into words before merging.

A GGUF file names its pre-tokenizer in `tokenizer.ggml.pre`; the names and which names share one
definition are those of llama.cpp (`llama-vocab.cpp`), the definitions those of the models' own
`tokenizer.json`. Names that are missing here cut by patterns that onnxruntime-genai does not know
(`deepseek-llm`, `falcon`, `bloom`, `superbpe`, `kimi-k2` and others).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeagent.export.tokenizer import patterns

Json = dict[str, object]
"""A component of tokenizer.json."""


@dataclass(frozen=True)
class PreTokenizer:
    """What tokenizer.json needs to know beyond vocabulary and merges.

    Attributes:
        cuts: the patterns that cut text, one after the other.
        normalizer: the `normalizer`, None where text is taken as it is.
        ignore_merges: whether a word that is a token is taken whole.
        add_bos: whether prompts start with BOS where the file does not say.
    """

    cuts: tuple[str, ...]
    normalizer: Json | None = None
    ignore_merges: bool = False
    add_bos: bool = False


def byte_level(cuts: Iterable[str]) -> Json:
    """Cut by each pattern in turn, then map bytes to the printable characters of the vocabulary.

    Only `Split` with a regular expression is honoured by onnxruntime-genai inside a sequence: a
    `Digits` step, as in the published SmolLM2 files, is silently ignored there.
    """
    splits = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in cuts
    ]
    last = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    return {"type": "Sequence", "pretokenizers": [*splits, last]}


_GPT2 = PreTokenizer((patterns.GPT2,))
_DIGIT_BY_DIGIT = PreTokenizer((patterns.DIGIT, patterns.GPT2))
_QWEN2 = PreTokenizer((patterns.QWEN2,), normalizer={"type": "NFC"})
_QWEN2_AS_IT_IS = PreTokenizer((patterns.QWEN2,))
_QWEN35 = PreTokenizer((patterns.QWEN35,), normalizer={"type": "NFC"})
_SEED = PreTokenizer((patterns.SEED,))
_LLAMA3 = PreTokenizer((patterns.LLAMA3,), ignore_merges=True, add_bos=True)
_LLAMA3_MERGED = PreTokenizer((patterns.LLAMA3,))
_GLM4 = PreTokenizer((patterns.LLAMA3,), ignore_merges=True)
_MINICPM5 = PreTokenizer((patterns.THREE_DIGITS, patterns.LLAMA3), ignore_merges=True)
_GPT4O = PreTokenizer((patterns.GPT4O,))
_TEKKEN = PreTokenizer((patterns.TEKKEN,), ignore_merges=True, add_bos=True)
_DEEPSEEK3 = PreTokenizer(
    (patterns.THREE_DIGITS, patterns.CHINESE_AND_JAPANESE, patterns.DEEPSEEK3)
)

_NAMES: tuple[tuple[PreTokenizer, str], ...] = (
    (_GPT2, "gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum"),
    (_DIGIT_BY_DIGIT, "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2"),
    (_QWEN2, "qwen2 deepseek-r1-qwen megrez kormo"),
    (_QWEN2_AS_IT_IS, "stablelm2 hunyuan solar-open grok-2 bailingmoe bailingmoe2 llada-moe"),
    (_QWEN35, "qwen35"),
    (_SEED, "seed-coder"),
    (_LLAMA3, "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2"),
    (_LLAMA3_MERGED, "smaug-bpe dbrx chatglm-bpe"),
    (_GLM4, "glm4 glm5"),
    (_MINICPM5, "minicpm5"),
    (_GPT4O, "gpt-4o llama4 kanana2 talkie minimax-m2"),
    (_TEKKEN, "tekken"),
    (_DEEPSEEK3, "deepseek-v3 hunyuan-dense joyai-llm hy_v4"),
)

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    name: pre_tokenizer for pre_tokenizer, names in _NAMES for name in names.split()
}
"""Pre-tokenizers by the value of `tokenizer.ggml.pre`; a new name is one word above."""
