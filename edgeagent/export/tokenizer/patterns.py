r"""Regular expressions that cut text into words, and the ones that the runtime cuts by.

onnxruntime-genai has no engine for regular expressions with Unicode classes. It looks for
alternatives that it knows in the text of a pattern and runs a matcher written by hand for each;
whatever else a pattern holds falls to an engine that sees bytes and knows no `\p{…}`. So a pattern
is either one of those below, on which the matchers were compared with the `tokenizers` library, or
it would silently cut somewhere else.
"""

from __future__ import annotations

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DIGIT = r"\p{N}"
THREE_DIGITS = r"\p{N}{1,3}"
CHINESE_AND_JAPANESE = "[一-龥\u3040-ゟ\u30a0-ヿ]+"

_CLITIC = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LINES_AND_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"

LLAMA3 = rf"{_CLITIC}|{_WORD}|{THREE_DIGITS}|{_SYMBOLS}|{_LINES_AND_SPACES}"
QWEN2 = rf"{_CLITIC}|{_WORD}|{DIGIT}|{_SYMBOLS}|{_LINES_AND_SPACES}"
QWEN35 = (
    rf"{_CLITIC}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|{DIGIT}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_LINES_AND_SPACES}"
)
SEED = rf"{_CLITIC}|{_WORD}|{DIGIT}| ?[^\s\p{{L}}\p{{N}}]+|{_LINES_AND_SPACES}"

_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CAPITALIZED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+"
_CAPITALS = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_SYMBOLS_AND_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
GPT4O = (
    rf"{_CAPITALIZED}{_CLITIC}?|{_CAPITALS}{_CLITIC}?|{THREE_DIGITS}"
    rf"|{_SYMBOLS_AND_SLASHES}|{_LINES_AND_SPACES}"
)
TEKKEN = rf"{_CAPITALIZED}|{_CAPITALS}|{DIGIT}|{_SYMBOLS_AND_SLASHES}|{_LINES_AND_SPACES}"

DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    rf"|{_LINES_AND_SPACES}"
)

KNOWN = frozenset(
    {
        GPT2,
        DIGIT,
        THREE_DIGITS,
        CHINESE_AND_JAPANESE,
        LLAMA3,
        QWEN2,
        QWEN35,
        SEED,
        GPT4O,
        TEKKEN,
        DEEPSEEK3,
    }
)
r"""Patterns that the runtime cuts by as the `tokenizers` library does.

Compared on 1,600 texts made for the purpose and on 880,000 tokens of prose, Python and C. What is
left are other cuts of the same text: the runtime does not take U+0085 for space; `\s*[\r\n]+` does
not end at the last of several line ends with spaces between and behind them (once in 880,000
tokens); `[\r\n/]*` in `GPT4O` and `TEKKEN` stops at a slash behind a line end, as where a line of C
ends in a brace and a comment follows (129 of 150 C headers, 2 of 150 Python files, 1 of 82 texts).
"""

_SAME = (
    # Literal line ends instead of escapes.
    ("\r", r"\r"),
    ("\n", r"\n"),
    # Other spellings of the contractions.
    (r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", _CLITIC),
    (r"'(?i:[sdmt]|ll|ve|re)", _CLITIC),
    (r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])", _CLITIC),
    # Possessive quantifiers in front of a class that cannot match what they would give back.
    (r"[^\r\n\p{L}\p{N}]?+\p{L}", r"[^\r\n\p{L}\p{N}]?\p{L}"),
    (r"[^\s\p{L}\p{N}]++[\r\n]*", r"[^\s\p{L}\p{N}]+[\r\n]*"),
    # Line ends are space, so the class without them is the same, and `\s*` takes all but the last.
    (r"[^\s\p{L}\p{N}\r\n]+", r"[^\s\p{L}\p{N}]+"),
    (r"|\s*[\r\n]|", r"|\s*[\r\n]+|"),
    (r"\p{N}{1}|", r"\p{N}|"),
)
"""Spellings of one meaning: as found in published files, and as the patterns above have it."""


def known_pattern(pattern: str) -> str | None:
    """The member of `KNOWN` that cuts like `pattern`, None if there is none."""
    for spelling, same in _SAME:
        pattern = pattern.replace(spelling, same)
    if pattern.endswith(r"|\s+(?!\S)"):  # what it leaves over is what `\s+` would match
        pattern += r"|\s+"
    elif pattern.endswith(r"|\s+(?!\S)|\s"):
        pattern += "+"
    return pattern if pattern in KNOWN else None
