"""Reading calls in Python's notation, without running or compiling anything.

`ast` would read most of them, but it refuses names that are words of the language (`from=...`), and
it counts how deep a text is nested in ways that can end a process.
"""

from __future__ import annotations

import ast
import re

from edgeagent.agent.formats.protocol import Call

_NAME = re.compile(r"\s*([^\s()\[\]{},=\"']+)\s*\(")
_KEY = re.compile(r"\s*([^\s()\[\]{},=\"']+)\s*=")
_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'", re.DOTALL)
_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_CONSTANTS = {"True": True, "False": False, "None": None, "true": True, "false": False}
_WORD = re.compile(r"[A-Za-z]+")
_MAX_DEPTH = 32


def read_python_calls(text: str) -> tuple[Call, ...]:
    """Return the calls of `[f(a=1), g()]`; if it was cut off behind a whole call, the whole ones.

    Raises:
        ValueError: There is no whole call.
    """
    reader = _Reader(text)
    reader.skip("[")
    calls: list[Call] = []
    while not (reader.skip("]") or reader.at_end()):
        try:
            calls.append(reader.call())
        except ValueError:
            if calls:
                break
            raise
        if not reader.skip(",") and not reader.at_end() and not reader.ahead("]"):
            raise ValueError("calls are not separated by commas")
    if not calls:
        raise ValueError("there is no tool call")
    return tuple(calls)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        return not self._text[self._at :].strip()

    def ahead(self, char: str) -> bool:
        return self._text[self._at :].lstrip().startswith(char)

    def skip(self, char: str) -> bool:
        """Go past a character, if it is the next one."""
        if not self.ahead(char):
            return False
        self._at = self._text.index(char, self._at) + 1
        return True

    def _match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        found = pattern.match(self._text, self._at)
        if found is None:
            wrong = self._text[self._at : self._at + 20]
            if not wrong:
                raise ValueError("the tool call is not closed")
            raise ValueError(f"{wrong!r} is not {what}")
        self._at = found.end()
        return found

    def call(self) -> Call:
        name = self._match(_NAME, "a call").group(1)
        arguments: dict[str, object] = {}
        while not self.skip(")"):
            key = self._match(_KEY, "a named argument").group(1)
            arguments[key] = self._value()
            if not self.skip(",") and not self.ahead(")"):
                raise ValueError("arguments are not separated by commas")
        return Call(name, arguments)

    def _value(self, depth: int = 0) -> object:
        if depth > _MAX_DEPTH:
            raise ValueError("a value is nested too deeply")
        if self.skip("["):
            return self._items("]", depth)
        if self.skip("("):
            return self._items(")", depth)
        if self.skip("{"):
            return self._pairs(depth)
        if self.ahead('"') or self.ahead("'"):
            return self._string()
        if self._text[self._at :].lstrip()[:1].isalpha():
            word = self._match(_WORD, "a value").group()
            if word not in {*_CONSTANTS, "null"}:
                raise ValueError(f"{word[:20]!r} is not a value")
            return _CONSTANTS.get(word)
        number = self._match(_NUMBER, "a value").group()
        return int(number) if re.fullmatch(r"-?\d+", number) else float(number)

    def _string(self) -> str:
        quoted = self._match(_STRING, "a closed text").group()
        try:
            return str(ast.literal_eval(quoted.replace("\n", "\\n").replace("\r", "\\r")))
        except (SyntaxError, ValueError) as error:
            raise ValueError("a text has a wrong escape") from error

    def _items(self, end: str, depth: int) -> list[object]:
        items: list[object] = []
        while not self.skip(end):
            items.append(self._value(depth + 1))
            if not self.skip(",") and not self.ahead(end):
                raise ValueError("a list is not closed")
        return items

    def _pairs(self, depth: int) -> dict[str, object]:
        pairs: dict[str, object] = {}
        while not self.skip("}"):
            key = self._string()
            if not self.skip(":"):
                raise ValueError("a key has no value")
            pairs[key] = self._value(depth + 1)
            if not self.skip(",") and not self.ahead("}"):
                raise ValueError("a dictionary is not closed")
        return pairs
