"""Text from outside must not be able to open or close a turn."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

_ZERO_WIDTH_SPACE = "\u200b"


def neutralizer(control_tokens: Iterable[str], markup: Iterable[str] = ()) -> Callable[[str], str]:
    """Return a function that breaks every control token and all markup written out in a text.

    Encoders turn `<|im_end|>` in a document into the token that ends a turn. A zero-width space
    after its first character keeps it readable and makes it ordinary text; this is done wherever
    a control token begins, also inside of another one. The text comes back in Unicode's NFC,
    since encoders may normalize it too, and no control token shall come to be by that. Tokens of
    white space, of one character or of letters only are left alone: they are no markup.

    Args:
        control_tokens: Texts that the tokenizer turns into tokens of their own.
        markup: What means something in the model's tool-call format, token or not.
    """
    forbidden = sorted(
        text
        for text in {*control_tokens, *markup}
        if len(text) > 1 and text.strip() and not text.isalnum()
    )
    if not forbidden:
        return lambda text: text
    begins = re.compile(f"(?={'|'.join(map(re.escape, forbidden))})(.)", re.DOTALL)

    def neutralize(text: str) -> str:
        return begins.sub(rf"\1{_ZERO_WIDTH_SPACE}", unicodedata.normalize("NFC", text))

    return neutralize
