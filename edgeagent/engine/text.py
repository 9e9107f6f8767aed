"""Text as the runtime's tokenizer can take it."""

from __future__ import annotations

import re
import unicodedata

_NOT_ENCODABLE = re.compile("[\\0\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def encodable(text: str, *, nfc: bool) -> str:
    """Return the text without what the runtime's tokenizer drops or ignores.

    - It stops at the first null character, and takes no halves of surrogate pairs. Both become
      replacement characters; leaving them out could join the parts of a control token.
    - It ignores an NFC normalizer, so that is applied here where the model has one.
    """
    text = _NOT_ENCODABLE.sub(_REPLACEMENT, text)
    return unicodedata.normalize("NFC", text) if nfc else text
