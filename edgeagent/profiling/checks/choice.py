"""The choice rule: the answer names one label, and it is the expected one.

Labels are looked for as whole words, case and punctuation ignored; where two overlap, the longer
one counts, so "very good" does not name "good". An answer that names several labels, or none, has
not chosen.

A label of one letter (A, B, C, D) is looked for as that capital letter standing alone, because "a"
and "i" are words: "A" and "I" count only where no word in small letters follows.
"""

from __future__ import annotations

import re
import unicodedata

from edgeagent.config.checks import ChoiceCheck


def choice_solved(check: ChoiceCheck, answer: str) -> bool:
    """Apply the choice rule (see the module) to one answer."""
    return labels_named(check, answer) == {check.value}


def labels_named(check: ChoiceCheck, answer: str) -> set[str]:
    """Return the labels that an answer names."""
    wordings = check.wordings()
    text = unicodedata.normalize("NFKC", answer)
    named = set()
    # Longest first, and what was found is blanked, so that no part of it counts again.
    for wording in sorted(wordings, key=len, reverse=True):
        pattern = _pattern(unicodedata.normalize("NFKC", wording.strip()))
        text, count = pattern.subn(" | ", text)
        if count:
            named.add(wordings[wording])
    return named


def _pattern(wording: str) -> re.Pattern[str]:
    if len(wording) == 1 and wording.isalpha():
        letter = re.escape(wording.upper())
        follows = r"(?!\s+[a-z])" if wording.upper() in {"A", "I"} else ""
        return re.compile(rf"(?<![\w'\u2019]){letter}(?![\w'\u2019]){follows}")
    words = re.findall(r"[^\W_]+", wording)
    # Bounded repetition of what lies between words: the search stays linear in the answer.
    return re.compile(
        r"(?<![^\W_])" + r"[\W_]{1,5}".join(map(re.escape, words)) + r"(?![^\W_])", re.IGNORECASE
    )
