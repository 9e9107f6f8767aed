"""Regular expressions that suites bring along, matched in linear time.

Python's own engine backtracks: a pattern such as `(a+)+b` in somebody's suite would hold a run up
for years. The one of llguidance, which also constrains decoding, follows an automaton instead.
"""

from __future__ import annotations

from functools import cache
from typing import Any

_ANYTHING = "(?s:.*)"


def check_pattern(pattern: str) -> None:
    """Check that a pattern can be compiled.

    Raises:
        ValueError: It cannot; the message says why.
    """
    matcher = _compiled(_whole(pattern)).deep_copy()
    matcher.try_consume_tokens(list(b"a"))  # the automaton is built while it is followed
    if matcher.is_error():
        raise ValueError(f"the pattern is not valid: {_reason(matcher.get_error())}")


def found_in(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Return whether a pattern is found in a text; false if the automaton grows too large."""
    matcher = _compiled(_whole(pattern, "(?i:{})" if ignore_case else "(?:{})")).deep_copy()
    content = list(text.encode("utf-8", errors="replace"))
    return bool(matcher.try_consume_tokens(content) == len(content) and matcher.is_accepting())


def _whole(pattern: str, group: str = "(?:{})") -> str:
    """Return a pattern for the whole text; anchors at the ends say where no text may be."""
    before, after = _ANYTHING, _ANYTHING
    if pattern.startswith("^"):
        pattern, before = pattern[1:], ""
    if pattern.endswith("$") and not _is_escaped(pattern):
        pattern, after = pattern[:-1], ""
    return f"{before}{group.format(pattern)}{after}"


def _is_escaped(pattern: str) -> bool:
    """Whether the last character is taken literally."""
    backslashes = len(pattern[:-1]) - len(pattern[:-1].rstrip("\\"))
    return backslashes % 2 == 1


@cache
def _tokenizer() -> Any:
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


@cache
def _compiled(pattern: str) -> Any:
    from llguidance import LLMatcher

    # A slash would end the pattern inside the grammar; newlines are not allowed there either.
    written = pattern.replace("\\/", "/").replace("/", "\\/").replace("\n", "\\n")
    return LLMatcher(_tokenizer(), f"start: /{written}/", log_level=0)


def _reason(message: str) -> str:
    """Return the words of an error that speak of the pattern."""
    for line in reversed(message.splitlines()):
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    first = message.partition("\n")[0]
    if "lookarounds not supported" in first:
        return "looking around (such as \\b, or ^ and $ inside) is not supported"
    return "too large" if "too many" in message else "it cannot be read"
