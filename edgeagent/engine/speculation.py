"""N-gram speculation: guess the next tokens from what was said before, check them in one run.

Answers that repeat parts of the conversation, as edited code and quoted passages do, are guessed
well: where the last tokens occurred before, what followed them there is likely to follow again
(prompt lookup decoding). The guess is run through the model together with the last token; each
row of logits is then what the model says after one more guessed token. A token is still chosen
from logits by the same sampler and grammar as without guesses, and the rows behind the first
wrong guess are thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgeagent.config.run import NGramSpeculation
from edgeagent.engine.sampling import Logits


def draft(tokens: Sequence[int], settings: NGramSpeculation, room: int) -> list[int]:
    """Guess what follows, from the latest earlier occurrence of the last tokens.

    Args:
        tokens: The conversation.
        settings: How many tokens must have occurred before, and how many are guessed.
        room: Most tokens that may be guessed.

    Returns:
        The guess, empty if there is nothing to guess from.
    """
    known = np.asarray(tokens, dtype=np.int64)
    ngram = known[-settings.ngram_len :]
    if len(known) <= settings.ngram_len:
        return []
    earlier = sliding_window_view(known[:-1], settings.ngram_len)
    (found,) = np.nonzero((earlier == ngram).all(axis=1))
    if not len(found):
        return []
    start = int(found[-1]) + settings.ngram_len
    return [int(token) for token in known[start : start + min(settings.max_draft_len, room)]]


class Lookahead:
    """Guessed tokens that were run, and the logits after each."""

    def __init__(self, guessed: Sequence[int], rows: NDArray[np.float32]) -> None:
        """Keep both.

        Args:
            guessed: The draft.
            rows: `(len(guessed) + 1, vocab)`, the first before the first guess.
        """
        self._guessed = guessed
        self._rows = rows
        self._right = 0

    @property
    def logits(self) -> Logits:
        """Logits `(vocab,)` after the guesses that turned out right so far."""
        row: Logits = self._rows[self._right]
        return row

    def follow(self, token_id: int) -> bool:
        """Return whether the token is the next guess; if so, move on to the logits after it."""
        if self._right == len(self._guessed) or self._guessed[self._right] != token_id:
            return False
        self._right += 1
        return True
