"""The rules for phrases: `match` looks for one in the answer, `exact` wants nothing else.

Answer and phrases are normalized: NFKC, case folded, apostrophes dropped, other punctuation a word
boundary, `a`, `an` and `the` dropped.

**Match.** One expected phrase must stand in the answer as whole words, no forbidden phrase may, and
the answer must not exceed the word limit.

**Exact.** The words of the answer are those of an expected text; without normalization the answer
is the text, blanks at its ends aside.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from edgeagent.config.checks import ExactCheck, MatchCheck, SourcedCheck

_WORD = re.compile(r"[0-9]+(?:[.:][0-9]+)*|[^\W\d_]+|\d+")
_APOSTROPHES = re.compile("['`\u00b4\u02bc\u2018\u2019]")
_DIGIT_GROUPING = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_ARTICLES = frozenset({"a", "an", "the"})


def match_solved(check: MatchCheck | SourcedCheck, answer: str) -> bool:
    """Apply the match rule (see the module) to one answer."""
    words = normalized_words(answer)
    if check.max_words is not None and len(words) > check.max_words:
        return False
    return has_phrase(words, check.any_of) and not has_phrase(words, check.none_of)


def has_phrase(words: Sequence[str], phrases: Iterable[str]) -> bool:
    """Return whether one of the phrases stands among normalized words, as whole words in a row."""
    text = f" {' '.join(words)} "
    wanted = (" ".join(normalized_words(phrase)) for phrase in phrases)
    return any(bool(phrase) and f" {phrase} " in text for phrase in wanted)


def exact_solved(check: ExactCheck, answer: str) -> bool:
    """Apply the exact rule (see the module) to one answer."""
    if not check.normalize:
        return answer.strip() in {text.strip() for text in check.any_of}
    words = normalized_words(answer)
    return bool(words) and any(words == normalized_words(text) for text in check.any_of)


def normalized_words(text: str) -> list[str]:
    """Split a text into the words that the rules compare.

    Digits and letters are separate words (`B7` equals `b 7`); a time or a decimal is one word.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = _DIGIT_GROUPING.sub("", _APOSTROPHES.sub("", folded))
    return [word for word in _WORD.findall(folded) if word not in _ARTICLES]
