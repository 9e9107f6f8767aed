"""The texts that packages are verified on."""

from __future__ import annotations

from importlib.resources import files


def sample_text() -> str:
    """About 1,500 tokens of prose, code and tool calls, written for this purpose."""
    return files(__package__).joinpath("sample.txt").read_text(encoding="utf-8")


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
        "snake_case camelCase SCREAMING_CASE x86_64 v1.2.3-rc4 a@b.example",
        sample_text(),
    )
