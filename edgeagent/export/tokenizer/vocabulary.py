"""The vocabulary of a GGUF file, checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from edgeagent.errors import DamagedFileError
from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.tokenizer.components import AddedToken, damaged_tokenizer

_PREFIX = "tokenizer.ggml."
_MAX_TOKENS = 2_000_000  # the largest published vocabularies have about 260,000


class TokenType(IntEnum):
    """What a token is for; the values of `enum llama_token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


_ADDED = {TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN}

_NO_STRIP = {"<unk>", "<s>", "<|endoftext|>"}
"""Special tokens of Phi-3 that leave the white space behind them alone.

GGUF has no field for this: like llama.cpp, it goes by the name of the model.
"""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id with their types.

    Attributes:
        path: the file, named in errors.
        tokens: text of every token; the index is the token id.
        types: type of every token.
        ids: id of every token that is in use, by its text.
    """

    path: Path
    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    ids: dict[str, int]

    def added(self, gguf: MetadataReader) -> list[AddedToken]:
        """Tokens that are found in text as they stand, before it is cut."""
        strips = "phi3" in gguf.get_str("general.name", "").lower().replace("-", "")
        return [
            AddedToken(index, token, special, rstrip=strips and special and token not in _NO_STRIP)
            for index, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind in _ADDED
            for special in (kind is not TokenType.USER_DEFINED,)
        ]

    def control_id(self, token: str) -> int | None:
        """Id of a control token, None if there is none of that text."""
        index = self.ids.get(token)
        if index is None or self.types[index] is not TokenType.CONTROL:
            return None
        return index

    def special_id(self, gguf: MetadataReader, name: str) -> int | None:
        """The id stored at `tokenizer.ggml.<name>_token_id`, None if the file has none.

        Raises:
            DamagedFileError: the id is not that of a token in use.
        """
        key = f"{_PREFIX}{name}_token_id"
        index = gguf.get_int(key, None)
        if index is None:
            return None
        if not 0 <= index < len(self.tokens):
            raise self._damaged(f"{key} is {index} and there are {len(self.tokens)} tokens")
        if self.types[index] is TokenType.UNUSED:
            raise self._damaged(f"{key} is {index}, a token that is marked as unused")
        return index

    def _damaged(self, what: str) -> DamagedFileError:
        return damaged_tokenizer(self.path, what)


def read_vocabulary(gguf: MetadataReader) -> Vocabulary:
    """Read and check the tokens of a file.

    Raises:
        DamagedFileError: no tokens, types that do not fit, or a token that occurs twice.
    """
    tokens = gguf.get_strings(f"{_PREFIX}tokens")
    numbers = gguf.get_ints(f"{_PREFIX}token_type", None)
    if numbers is None:
        numbers = [int(TokenType.NORMAL)] * len(tokens)
    if not 0 < len(tokens) <= _MAX_TOKENS:
        raise damaged_tokenizer(gguf.path, f"it has {len(tokens)} tokens")
    if len(numbers) != len(tokens):
        what = f"it has {len(tokens)} tokens and {len(numbers)} token types"
        raise damaged_tokenizer(gguf.path, what)
    known = {int(kind): kind for kind in TokenType}
    try:
        types = tuple(known[number] for number in numbers)
    except KeyError as error:
        raise damaged_tokenizer(gguf.path, f"there is no token type {error}") from None
    ids: dict[str, int] = {}
    for index, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind is TokenType.UNUSED:
            continue
        if not token:
            raise damaged_tokenizer(gguf.path, f"token {index} is empty")
        if token in ids:
            what = f"tokens {ids[token]} and {index} are both {token[:40]!r}"
            raise damaged_tokenizer(gguf.path, what)
        ids[token] = index
    return Vocabulary(gguf.path, tuple(tokens), types, ids)
