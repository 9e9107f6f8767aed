"""What the kinds of tokenizers fill in differently, and the tokenizer.json they make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeagent.errors import DamagedFileError, MissingExtraError
from edgeagent.export.tokenizer.pretokenizers import Json

Merge = tuple[str, str]
"""Two tokens that are joined into one."""


@dataclass(frozen=True)
class TokenizerComponents:
    """The parts of tokenizer.json that depend on the kind of tokenizer.

    Attributes:
        normalizer: changes the text before it is cut.
        pre_tokenizer: cuts text into words.
        decoder: turns tokens back into text.
        merges: pairs of tokens, first to be applied first.
        ignore_merges: whether a word that is a token is taken whole.
        byte_fallback: whether unknown characters become `<0x..>` tokens.
        tokenizer_class: the class in tokenizer_config.json, which decides how onnxruntime-genai
            reads tokenizer.json.
        add_bos: whether prompts start with BOS where the file does not say.
    """

    normalizer: Json | None
    pre_tokenizer: Json | None
    decoder: Json
    merges: Sequence[Merge]
    ignore_merges: bool = False
    byte_fallback: bool = False
    tokenizer_class: str = "TokenizersBackend"
    add_bos: bool = False


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in text as it stands, before the text is cut.

    Attributes:
        id: its number.
        content: its text.
        special: whether it is left out when tokens are turned back into text.
        rstrip: whether it takes the white space behind it along.
    """

    id: int
    content: str
    special: bool
    rstrip: bool = False


def tokenizer_json(
    vocab: Mapping[str, int],
    added: Sequence[AddedToken],
    components: TokenizerComponents,
    unknown: str | None,
) -> str:
    """The content of tokenizer.json.

    Args:
        vocab: id of every token by its text.
        added: tokens that are found in text before it is cut.
        components: what depends on the kind of tokenizer.
        unknown: the token for what no other token covers, None if there is none.
    """
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token.id,
                "content": token.content,
                "single_word": False,
                "lstrip": False,
                "rstrip": token.rstrip,
                "normalized": False,
                "special": token.special,
            }
            for token in added
        ],
        "normalizer": components.normalizer,
        "pre_tokenizer": components.pre_tokenizer,
        "post_processor": None,  # the engine sets BOS itself
        "decoder": components.decoder,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown if components.byte_fallback else None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": components.byte_fallback,
            "byte_fallback": components.byte_fallback,
            "ignore_merges": components.ignore_merges,
            "vocab": vocab,
            # As pairs: from the form "left right" the runtime drops carriage returns.
            "merges": components.merges,
        },
    }
    return json.dumps(document, ensure_ascii=False)


def check_loads(content: str, added: Sequence[AddedToken], path: Path) -> None:
    """Load a tokenizer.json once, so that a broken one is found before it is written.

    Args:
        content: of tokenizer.json.
        added: the tokens that must have got the ids they were given.
        path: the source, named in errors.

    Raises:
        DamagedFileError: the `tokenizers` library rejects it or counts added tokens otherwise.
        MissingExtraError: the `tokenizers` package is not installed.
    """
    try:
        tokenizer = loaded_tokenizer(content)
    except MissingExtraError:
        raise
    except Exception as error:  # the library raises plain Exception
        raise damaged_tokenizer(path, f"the tokenizers library rejects it ({error})") from error
    for token in added:
        if tokenizer.token_to_id(token.content) != token.id:
            what = f"the added token {token.content[:40]!r} does not follow the others"
            raise damaged_tokenizer(path, what)


@lru_cache(maxsize=1)
def loaded_tokenizer(content: str) -> Any:
    """The `tokenizers.Tokenizer` of a tokenizer.json; loading takes half a second, so one is kept.

    Raises:
        MissingExtraError: the `tokenizers` package is not installed.
        Exception: the library rejects it.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError(
            "exporting needs the tokenizers package; run: pip install 'edgeagent[export]'"
        ) from None
    return Tokenizer.from_str(content)


def damaged_tokenizer(path: Path, what: str) -> DamagedFileError:
    """The error for a tokenizer that contradicts itself; `what` says where."""
    return DamagedFileError(f"the tokenizer of {path} is damaged: {what}; download it again.")
