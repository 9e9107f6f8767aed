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
        self._added = _added_tokens(tokenizer_json)
        self.added_texts = {token_id: text for text, token_id in self._added.items()}
        """Texts of the tokens that the vocabulary keeps apart from ordinary text."""

    def with_markup(self, grammar: str) -> str:
        """Return a grammar whose markup is made of the vocabulary's own tokens.

        `<tool_call>` is one token for a model that was trained with it, and llguidance keeps such
        tokens apart from text that looks the same. Where it is a token, a rule whose name begins
        with `markup_` and that ends with its text gets the token in place of the text::

            markup_open: "<tool_call>"                    markup_open: <[151657]>
            markup_end[lazy, max_tokens=9]: WORDS "</x>"  markup_end: markup_end_words <[7]>
                                                          markup_end_words[max_tokens=9]: WORDS

        Where it is text, `max_tokens` is left out: it would cut off before the text, which the
        terminal in front of it has to do by its own length.
        """
        return _MARKUP_RULE.sub(self._markup_rule, grammar)

    def _markup_rule(self, rule: re.Match[str]) -> str:
        name, option_text, terminal, text = rule.groups()
        options = [option.strip() for option in (option_text or "").split(",") if option.strip()]
        token_id = self._added.get(json.loads(text))
        if token_id is None:
            kept = [option for option in options if not option.startswith("max_tokens")]
            listed = f"[{', '.join(kept)}]" if kept else ""
            return f"{name}{listed}: {f'{terminal} ' if terminal else ''}{text}"
        if not terminal:
            return f"{name}: <[{token_id}]>"
        kept = [option for option in options if option != "lazy"]
        listed = f"[{', '.join(kept)}]" if kept else ""
        return f"{name}: {name}_words <[{token_id}]>\n{name}_words{listed}: {terminal}"


_MARKUP_RULE = re.compile(
    r'^(markup_\w+)(?:\[([^\]\n]*)\])?: (?:([A-Z]\w*) )?("(?:[^"\\\n]|\\.)+")$', re.MULTILINE
)


def _added_tokens(tokenizer_json: str) -> dict[str, int]:
    """Return the tokens that a vocabulary keeps apart from ordinary text, by their text."""
    if tokenizer_json == SINGLE_BYTES:
        return {}
    added = json.loads(tokenizer_json).get("added_tokens", ())
    return {token["content"]: int(token["id"]) for token in added if token["content"]}


class GrammarMatcher:
    """Follows one generation through a grammar."""

    def __init__(self, tokenizer: GrammarTokenizer, grammar: str) -> None:
        """Compile the grammar.

        Raises:
            EngineError: The grammar is not valid.
        """
        import llguidance

        self._native: Any = llguidance.LLMatcher(tokenizer.native, tokenizer.with_markup(grammar))
        self._added_texts = tokenizer.added_texts
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

    def markup_text(self, token_id: int) -> str:
        """Return the text of a token that stands for markup, empty for any other token."""
        return self._added_texts.get(token_id, "")

    def consume(self, token_ids: Sequence[int]) -> None:
        """Advance by tokens that were generated.

        Raises:
            EngineError: The grammar does not allow them.
        """
        self._native.consume_tokens(list(token_ids))
        self._check()
