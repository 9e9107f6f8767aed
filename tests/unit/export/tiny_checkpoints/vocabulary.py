"""A byte-level vocabulary of 320 tokens, and how each family marks the turns of a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VOCAB_SIZE = 320
"""Rows of every embedding; the tokenizers have fewer tokens, as those of real models do."""

_MERGES = (
    *("t h", "th e", "i n", "e r", "r e", "o n", "a n", "Ġ t", "Ġ the", "Ġ a", "an d", "Ġ and"),
    *("in g", "Ġ c", "e n", "o r"),
)

_GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_LETTERS_AND_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"


def _split(pattern: str) -> dict[str, Any]:
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [cut, {**_GPT2, "use_regex": False}]}


_PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "gpt-2": _GPT2,
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, _GPT2],
    },
    "qwen2": _split(rf"{_WORDS}|\p{{N}}|{_LETTERS_AND_MARKS}"),
    "llama-bpe": _split(rf"{_WORDS}|\p{{N}}{{1,3}}|{_LETTERS_AND_MARKS}"),
}
"""`pre_tokenizer` of tokenizer.json by the name that llama.cpp gives it."""

_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of one checkpoint and the template of its conversations.

    Attributes:
        pre: llama.cpp's name of the pre-tokenizer (`tokenizer.ggml.pre`).
        special: Control tokens, which follow the bytes and the merged tokens.
        bos: The control token that begins a text, `None` where there is none.
        eos: The control token that ends a text.
        turn_end: The control token that ends an answer; the tokenizer's own `eos_token`.
        template: The chat template.
        added: Tokens that are matched as a whole but are shown, such as `<tool_call>`.
        prepend_bos: Whether every text is given the first token.
        fills_embedding: Whether unused tokens fill the tokenizer up to the rows of the embedding.
    """

    pre: str
    special: tuple[str, ...]
    bos: str | None
    eos: str
    turn_end: str
    template: str
    added: tuple[str, ...] = ()
    prepend_bos: bool = False
    fills_embedding: bool = False

    @property
    def base(self) -> list[str]:
        """The 256 bytes in GPT-2's printable form and the merged tokens, by id."""
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        characters = [chr(byte) for byte in printable]
        characters += [chr(256 + at) for at in range(256 - len(printable))]
        return characters + [merge.replace(" ", "") for merge in _MERGES]

    @property
    def tokens(self) -> list[str]:
        """Every token of the tokenizer, by id."""
        known = [*self.base, *self.special, *self.added]
        if self.fills_embedding:
            known += [f"<unused{at}>" for at in range(VOCAB_SIZE - len(known))]
        return known

    @property
    def merges(self) -> tuple[str, ...]:
        """The merges in order, each two tokens with a space between."""
        return _MERGES

    def id_of(self, token: str) -> int:
        """The id of a token."""
        return self.tokens.index(token)

    @property
    def bos_id(self) -> int | None:
        """The id of the first token of a text."""
        return None if self.bos is None else self.id_of(self.bos)

    @property
    def eos_ids(self) -> list[int]:
        """Every id that ends an answer, the tokenizer's own first."""
        return [self.id_of(token) for token in dict.fromkeys((self.turn_end, self.eos))]

    def tokenizer_json(self) -> dict[str, Any]:
        """The contents of tokenizer.json."""
        base = len(self.base)
        added = [
            {
                "id": base + at,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": token not in self.added,
            }
            for at, token in enumerate(self.tokens[base:])
        ]
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": {"type": "NFC"} if self.pre == "qwen2" else None,
            "pre_tokenizer": _PRE_TOKENIZERS[self.pre],
            "post_processor": self._post_processor(),
            "decoder": _GPT2,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": self.pre == "llama-bpe",
                "vocab": {token: at for at, token in enumerate(self.base)},
                "merges": [merge.split(" ") for merge in _MERGES],
            },
        }

    def _post_processor(self) -> dict[str, Any]:
        if not self.prepend_bos or self.bos is None:
            return {**_GPT2, "trim_offsets": False}
        first = {"SpecialToken": {"id": self.bos, "type_id": 0}}
        text = {"Sequence": {"id": "A", "type_id": 0}}
        second = {"Sequence": {"id": "B", "type_id": 1}}
        return {
            "type": "TemplateProcessing",
            "single": [first, text],
            "pair": [first, text, {"SpecialToken": {"id": self.bos, "type_id": 1}}, second],
            "special_tokens": {
                self.bos: {"id": self.bos, "ids": [self.bos_id], "tokens": [self.bos]}
            },
        }

    def tokenizer_config(self) -> dict[str, Any]:
        """The contents of tokenizer_config.json."""
        return {
            "add_bos_token": self.prepend_bos,
            "add_prefix_space": False,
            "bos_token": self.bos,
            "chat_template": self.template,
            "clean_up_tokenization_spaces": False,
            "eos_token": self.turn_end,
            "model_max_length": 512,
            "pad_token": self.turn_end,
            "tokenizer_class": "PreTrainedTokenizerFast",
        }


CHATML = Vocabulary(
    pre="qwen2",
    special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    bos=None,
    eos="<|endoftext|>",
    turn_end="<|im_end|>",
    template=_CHATML,
    added=("<tool_call>", "</tool_call>"),
)
SMOLLM2 = Vocabulary(
    pre="smollm",
    special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    bos="<|im_start|>",
    eos="<|endoftext|>",
    turn_end="<|im_end|>",
    template=_CHATML,
)
LLAMA3 = Vocabulary(
    pre="llama-bpe",
    special=(
        *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
        "<|eot_id|>",
    ),
    bos="<|begin_of_text|>",
    eos="<|end_of_text|>",
    turn_end="<|eot_id|>",
    template=(
        "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}"
        "<|end_header_id|>\n\n{{ message.content }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    prepend_bos=True,
)
SMOLLM3 = Vocabulary(
    pre="llama-bpe",
    special=("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"),
    bos="<|begin_of_text|>",
    eos="<|end_of_text|>",
    turn_end="<|im_end|>",
    template=_CHATML,
)
MISTRAL = Vocabulary(
    pre="gpt-2",
    special=("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
    bos="<s>",
    eos="</s>",
    turn_end="</s>",
    template=(
        "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] "
        "{{ message.content }} [/INST]{% else %}{{ message.content }}{{ eos_token }}{% endif %}"
        "{% endfor %}"
    ),
    prepend_bos=True,
)
PHI = Vocabulary(
    pre="gpt-2",
    special=("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    bos=None,
    eos="<|endoftext|>",
    turn_end="<|end|>",
    template=(
        "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
)
GEMMA = Vocabulary(
    pre="gpt-2",
    special=("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    bos="<bos>",
    eos="<eos>",
    turn_end="<end_of_turn>",
    template=(
        "{{ bos_token }}{% for message in messages %}<start_of_turn>"
        "{% if message.role == 'assistant' %}model{% else %}{{ message.role }}{% endif %}\n"
        "{{ message.content }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    prepend_bos=True,
    fills_embedding=True,
)
