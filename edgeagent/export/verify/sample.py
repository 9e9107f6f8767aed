"""The texts that packages are verified on, cut into windows of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int64]
Encode = Callable[[str], list[int]]
"""Tokens of a text, without special tokens around it."""

_SECTIONS = ("prose", "code", "transcript")
_WINDOW_TOKENS = 512
"""Context that predictions are compared in; a shorter context of the package shortens it."""


def sample_section(name: str) -> str:
    """One of the texts, written for this purpose: prose, code, or a transcript of tool calls."""
    return files(__package__).joinpath("sample", f"{name}.txt").read_text(encoding="utf-8")


def sample_text() -> str:
    """All sections, one after the other."""
    return "\n".join(sample_section(name) for name in _SECTIONS)


def sample_windows(
    encode: Encode, max_tokens: int, bos_id: int | None, context_len: int
) -> list[Tokens]:
    """The sample as windows that are run on their own.

    Args:
        encode: The package's tokenizer.
        max_tokens: Of the whole sample; every section is shortened alike.
        bos_id: Token in front of every window, `None` where the model expects none.
        context_len: Longest context of the package.
    """
    sections = [encode(sample_section(name)) for name in _SECTIONS]
    share = min(1.0, max_tokens / sum(map(len, sections)))
    windows = []
    for tokens in sections:
        windows += cut(tokens[: round(share * len(tokens))], bos_id, context_len)
    return windows


def cut(tokens: Sequence[int], bos_id: int | None, context_len: int) -> list[Tokens]:
    """Cut a tokenized text into windows; what is too short to predict anything is left out."""
    start = [] if bos_id is None else [bos_id]
    step = min(_WINDOW_TOKENS, context_len) - len(start)
    pieces = [list(tokens[at : at + step]) for at in range(0, len(tokens), step)]
    return [np.array(start + piece, dtype=np.int64) for piece in pieces if len(start + piece) > 1]


def tokenizer_texts() -> tuple[str, ...]:
    """Texts that tokenizers tend to disagree on, and the sample itself."""
    return (
        "Hello, world!",
        " leading space and trailing space ",
        "It's 3,141.59 km; they'd've walked 12345678 steps, wouldn't they?",
        "def area(r: float) -> float:\n    return 3.14159 * r ** 2  # πr²\n\n\n",
        "Zürich, Ελλάδα, Привет, 你好,世界, مرحبا, नमस्ते, 한국어",
        # Composed characters only: some tokenizers normalize to NFC, which onnxruntime-genai skips.
        "emoji 🙂👩‍🚀🇨🇭, composed é ä and a combining q\u0323",
        "tabs\tand\r\nwindows lines\r\n\r\n  indented\n\n\n",
        "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n",
        '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 2.5e-3}}\n</tool_call>',
        "IT'S what THEY'D say; WE'LL 'quote' it, I'm sure we've",
        "1 22 333 4444 55555 666666 7777777, 0x1F, 1_000_000, 3.14.15, 2²",
        # Runs longer than any token, which show in which order equal pieces are joined.
        "columns:" + 7 * " " + "a" + 19 * " " + "b" + 35 * " " + "c\t\t\td\r\r\r\n\n\n\ne",
        "日本語のテキスト、カタカナ。漢字123テスト ภาษาไทย \U0001d49c\ufb01\uff21\uff11",
        "https://example.com/path?x=1&y=2#z $100 + €5 = £7 <= ~x^2 |y| `z` «w» “v” … ¿?!",
        "<s>[INST] hi [/INST] ok</s><start_of_turn>user\nhi<end_of_turn>\n<|user|>\nhi<|end|>\n",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|><|endoftext|>",
        "snake_case camelCase SCREAMING_CASE x86_64 v1.2.3-rc4 a@b.example",
        *(sample_section(name) for name in _SECTIONS),
    )
