"""A published tokenizer.json in the form that onnxruntime-genai reads the same way.

The runtime reads part of tokenizer.json and passes over the rest without a word: `Digits` and
`Punctuation` steps, normalizers, how a `Split` treats what it finds, where `Metaspace` puts its
space. What means the same in a form that it honours is rewritten; everything else is refused, for
the package would run and tokenize differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from edgeagent.errors import UnsupportedError
from edgeagent.export.tokenizer import patterns
from edgeagent.export.tokenizer.byte_level import BYTE_LEVEL_DECODER
from edgeagent.export.tokenizer.components import Merge, TokenizerComponents, damaged_tokenizer
from edgeagent.export.tokenizer.pretokenizers import Json, byte_level
from edgeagent.export.tokenizer.sentencepiece import SPACE, sentencepiece_frame


class PublishedTokenizer:
    """Reads the components of a tokenizer.json.

    Args:
        path: the file, named in errors.
        document: its content.

    Raises:
        UnsupportedError: it is of another kind than BPE.
    """

    def __init__(self, path: Path, document: Mapping[str, object]) -> None:
        self._path = path
        self._document = document
        self._model = _object(document.get("model"))
        kind = self._model.get("type")
        if kind != "BPE":
            raise self._unsupported(f"is of the kind {str(kind)[:40]}")

    def components(self, vocab: Mapping[str, int], *, starts_special: bool) -> TokenizerComponents:
        """The components in the form that the runtime honours.

        Args:
            vocab: id of every token of the model by its text.
            starts_special: whether prompts start with a special token, as those of a chat
                template do.

        Raises:
            UnsupportedError: a component that the runtime would pass over or read differently.
            DamagedFileError: merges that do not join tokens into tokens.
        """
        for key in ("continuing_subword_prefix", "end_of_word_suffix"):
            if self._model.get(key):
                raise self._unsupported(f"sets {key}")
        merges = self._merges(vocab)
        if self._model.get("byte_fallback") is True:
            return self._sentencepiece(merges, starts_special=starts_special)
        return TokenizerComponents(
            normalizer=self._composition(),
            pre_tokenizer=byte_level(self._cuts(self._document.get("pre_tokenizer"))),
            decoder=BYTE_LEVEL_DECODER,
            merges=merges,
            ignore_merges=self._model.get("ignore_merges") is True,
        )

    def _merges(self, vocab: Mapping[str, int]) -> list[Merge]:
        listed = self._model.get("merges")
        if not isinstance(listed, list):
            raise damaged_tokenizer(self._path, "its model has no merges")
        merges = []
        for rank, merge in enumerate(listed):
            pair = merge.split(" ") if isinstance(merge, str) else merge
            if not (
                isinstance(pair, list)
                and len(pair) == 2
                and all(isinstance(token, str) and token in vocab for token in pair)
                and pair[0] + pair[1] in vocab
            ):
                what = f"merge {rank} ({str(merge)[:80]!r}) does not join two tokens into a third"
                raise damaged_tokenizer(self._path, what)
            merges.append((pair[0], pair[1]))
        return merges

    def _composition(self) -> Json | None:
        """The normalizer of byte-level BPE: none or NFC."""
        steps = [step for step in _steps(self._document.get("normalizer"), "normalizers") if step]
        if not steps:
            return None
        if all(step.get("type") == "NFC" for step in steps):
            return {"type": "NFC"}
        raise self._unsupported(f"normalizes text with {_names(steps)}")

    def _cuts(self, pre_tokenizer: object) -> list[str]:
        """The patterns of the pre-tokenizer of byte-level BPE."""
        steps = list(_steps(pre_tokenizer, "pretokenizers"))
        if not steps or steps[-1].get("type") != "ByteLevel":
            raise self._unsupported(f"cuts text with {_names(steps)}")
        return [pattern for step in steps for pattern in self._cut(step)]

    def _cut(self, step: Json) -> list[str]:
        match step:
            case {"type": "ByteLevel"} if step.get("add_prefix_space") is not True:
                return [] if step.get("use_regex") is False else [patterns.GPT2]
            case {"type": "Digits", "individual_digits": True}:
                return [patterns.DIGIT]
            case {"type": "Split", "pattern": {"Regex": str(pattern)}} if _isolates(step):
                known = patterns.known_pattern(pattern)
                if known is not None:
                    return [known]
        raise self._unsupported(f"cuts text with the step {str(step)[:200]}")

    def _sentencepiece(self, merges: list[Merge], *, starts_special: bool) -> TokenizerComponents:
        cut = list(_steps(self._document.get("pre_tokenizer"), "pretokenizers"))
        normal = list(_steps(self._document.get("normalizer"), "normalizers"))
        replaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
        prepends = {"type": "Prepend", "prepend": SPACE}
        if normal in ([prepends, replaces], [replaces]) and all(map(_cuts_at_spaces, cut)):
            add_space = len(normal) > 1
        elif not normal and len(cut) == 1 and cut[0].get("type") == "Metaspace":
            add_space = self._metaspace(cut[0], starts_special=starts_special)
        else:
            what = f"normalizes text with {_names(normal)} and cuts it with {_names(cut)}"
            raise self._unsupported(what)
        return sentencepiece_frame(merges, add_space=add_space)

    def _metaspace(self, step: Json, *, starts_special: bool) -> bool:
        """Whether a space goes in front of every piece of text."""
        scheme = step.get("prepend_scheme", "always")
        if step.get("replacement") == SPACE and step.get("split") is False:
            if scheme == "never":
                return False
            if scheme == "first":
                # The runtime knows no "first". Behind a special token nothing is first; without
                # one the space is right for every text but those that start with a space.
                return not starts_special
        raise self._unsupported(f"cuts text with the step {str(step)[:200]}")

    def _unsupported(self, what: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self._path} {what}, which onnxruntime-genai would read differently; this tokenizer"
            " is not supported."
        )


def _isolates(step: Json) -> bool:
    """Whether every match becomes a word of its own; nothing is removed, for all text matches."""
    behavior, invert = step.get("behavior"), step.get("invert") is True
    return behavior == "Isolated" or (behavior == "Removed" and invert)


def _cuts_at_spaces(step: Json) -> bool:
    """Gemma's cut at spaces, which finds none: they were replaced before."""
    return step.get("type") == "Split" and step.get("pattern") == {"String": " "}


def _steps(component: object, key: str) -> Iterator[Json]:
    """A component, or the components of a sequence of them."""
    if component is None:
        return
    step = _object(component)
    if step.get("type") != "Sequence":
        yield step
        return
    inner = step.get(key)
    for item in inner if isinstance(inner, list) else []:
        yield from _steps(item, key)


def _names(steps: list[Json]) -> str:
    return " + ".join(str(step.get("type"))[:40] for step in steps) or "nothing"


def _object(value: object) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}
