"""Text from outside must not be able to open or close a turn."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

_ZERO_WIDTH_SPACE = "\u200b"


def neutralizer(control_tokens: Iterable[str]) -> Callable[[str], str]:
    """Return a function that breaks every control token written out in a text.

    Encoders turn `<|im_end|>` in a document into the token that ends a turn. A zero-width space
    after its first character keeps it readable and makes it ordinary text; this is done wherever
    a control token begins, also inside of another one. The text comes back in Unicode's NFC,
    since encoders may normalize it too, and no control token shall come to be by that. Tokens of
    white space, of one character or of letters only are left alone: they are no markup.
    """
    markup = sorted(
        token
        for token in control_tokens
        if len(token) > 1 and token.strip() and not token.isalnum()
    )
    if not markup:
        return lambda text: text
    begins = re.compile(f"(?={'|'.join(map(re.escape, markup))})(.)", re.DOTALL)

    def neutralize(text: str) -> str:
        return begins.sub(rf"\1{_ZERO_WIDTH_SPACE}", unicodedata.normalize("NFC", text))

    return neutralize
