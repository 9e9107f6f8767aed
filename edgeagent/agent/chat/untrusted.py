"""Text from outside must not be able to open or close a turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_ZERO_WIDTH_SPACE = "\u200b"


def neutralizer(control_tokens: Iterable[str]) -> Callable[[str], str]:
    """Return a function that breaks every control token written out in a text.

    Encoders turn `<|im_end|>` in a document into the token that ends a turn. A zero-width space
    after its first character keeps it readable and makes it ordinary text. Tokens of white space
    are left alone: they are no markup.
    """
    markup = sorted(
        (token for token in control_tokens if token.strip() and not token.isalnum()),
        key=len,
        reverse=True,
    )
    if not markup:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(token) for token in markup))

    def neutralize(text: str) -> str:
        return pattern.sub(lambda m: m.group()[0] + _ZERO_WIDTH_SPACE + m.group()[1:], text)

    return neutralize
