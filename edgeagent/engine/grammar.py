"""Grammar-constrained decoding with llguidance: which tokens may come next, which must.

The runtime has llguidance built in, but there a grammar belongs to a generator and so to its KV
cache. Agents change the grammar from turn to turn within one cache, so the mask is computed here,
with the same library. Forced tokens are found without running the model at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeagent.engine.sampling import Logits
from edgeagent.errors import EngineError

SINGLE_BYTES = "byte"
"""llguidance's own tokenizer of single bytes, for engines without a vocabulary."""


class GrammarTokenizer:
    """The vocabulary in the form that grammars are matched against; built once per engine."""

    def __init__(self, tokenizer_json: str, vocab_size: int | None, eos_ids: Sequence[int]) -> None:
        """Build the token trie; takes a fraction of a second for 150,000 tokens.

        Args:
            tokenizer_json: Text of a Hugging Face `tokenizer.json`, or `SINGLE_BYTES`.
            vocab_size: Width of the logits, which may exceed the tokenizer's vocabulary.
            eos_ids: End-of-turn tokens, allowed only where the grammar may end.

        Raises:
            EngineError: The tokenizer cannot be used for grammars.
        """
        import llguidance

        try:
            eos = list(eos_ids) or None
            self.native: Any = llguidance.LLTokenizer(
                tokenizer_json, n_vocab=vocab_size, eos_token=eos
            )
        except Exception as error:
            raise EngineError(f"The tokenizer cannot be used with grammars: {error}.") from error
        self.vocab_size: int = self.native.vocab_size
        self._markup = _markup(tokenizer_json)

    def with_markup(self, grammar: str) -> str:
        """Return a grammar whose literals of markup are the vocabulary's own tokens.

        `<tool_call>` is one token for a model that was trained with it, and llguidance keeps such
        tokens apart from text that looks the same.
        """
        for token in self._markup:
            grammar = grammar.replace(json.dumps(token), token)
        return grammar


def _markup(tokenizer_json: str) -> tuple[str, ...]:
    """Return the added tokens that a Lark grammar can name: a word in angle brackets."""
    if tokenizer_json == SINGLE_BYTES:
        return ()
    added = json.loads(tokenizer_json).get("added_tokens", ())
    return tuple(
        token["content"] for token in added if re.fullmatch(r"</?[\w|]+>", token["content"])
    )


class GrammarMatcher:
    """Follows one generation through a grammar."""

    def __init__(self, tokenizer: GrammarTokenizer, grammar: str) -> None:
        """Compile the grammar.

        Raises:
            EngineError: The grammar is not valid.
        """
        import llguidance

        self._native: Any = llguidance.LLMatcher(tokenizer.native, tokenizer.with_markup(grammar))
        self._words = np.zeros((tokenizer.vocab_size + 31) // 32, dtype=np.int32)
        self._check()

    def _check(self) -> None:
        if self._native.is_error():
            detail = str(self._native.get_error()).strip().splitlines()[0]
            raise EngineError(f"The grammar cannot be followed: {detail}.")

    @property
    def finished(self) -> bool:
        """Whether nothing more may be generated."""
        return bool(self._native.is_stopped())

    def forced(self) -> list[int]:
        """Return the tokens that the grammar leaves no choice about, possibly none."""
        tokens = [int(token) for token in self._native.compute_ff_tokens()]
        self._check()
        return tokens

    def mask(self, logits: Logits) -> Logits:
        """Return a copy of the logits `(vocab,)` with forbidden tokens at minus infinity."""
        words = self._words
        self._native.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        self._check()
        allowed: NDArray[np.bool_] = np.unpackbits(
            words.view(np.uint8), count=None, bitorder="little"
        ).astype(np.bool_)
        masked = np.full_like(logits, -np.inf)
        width = min(len(logits), len(allowed))
        np.copyto(masked[:width], logits[:width], where=allowed[:width])
        return masked

    def consume(self, token_ids: Sequence[int]) -> None:
        """Advance by tokens that were generated.

        Raises:
            EngineError: The grammar does not allow them.
        """
        self._native.consume_tokens(list(token_ids))
        self._check()
