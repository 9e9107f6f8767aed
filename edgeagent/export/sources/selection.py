"""Which files of a repository an export needs: never programs, pickles or second copies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgeagent.errors import SourceError
from edgeagent.export.sources.listing import Listing, RemoteFile

INDEX_NAME = "model.safetensors.index.json"
_SINGLE_NAME = "model.safetensors"
_REQUIRED = ("config.json", "tokenizer.json")
_USED = frozenset(
    {
        *_REQUIRED,
        "generation_config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        # They say that weights are quantized already, which must not be overlooked.
        "quantize_config.json",
        "quant_config.json",
        "hf_quant_config.json",
    }
)
_NOTICE = re.compile(
    r"(?:LICEN[CS]E|NOTICE)(?:[_-][A-Z0-9_-]+)?(?:\.(?:txt|md|rst))?", re.IGNORECASE
)
_ADAPTER_NAME = "adapter_config.json"
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth")
_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_MAX_PARTS = 128
_MAX_NAMED = 12
"""File names in one message."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Files to download.

    Attributes:
        describing: Everything but weights; small, and downloaded first.
        weights: The weights; empty where an index must be read to know them.
    """

    describing: tuple[RemoteFile, ...]
    weights: tuple[RemoteFile, ...]

    @property
    def has_index(self) -> bool:
        """Whether the index among the describing files lists the weights."""
        return not self.weights


def select_folder(listing: Listing) -> Selection:
    """Choose the safetensors of a repository and what describes them.

    Raises:
        SourceError: It has none, or lacks what says how to use them.
    """
    files = listing.files
    single = files.get(_SINGLE_NAME)
    if single is None and INDEX_NAME not in files:
        raise SourceError(_without_safetensors(listing))
    for name in _REQUIRED:
        if name not in files:
            raise SourceError(
                f"{listing.repo} has no {name}, which an export needs; take another repository of"
                f" this model{_or_a_gguf(listing)}"
            )
    describing = [files[name] for name in sorted(files) if name in _USED]
    # Two names that differ in case only are one file on some systems; one notice is kept then.
    notices = {name.lower(): files[name] for name in sorted(files) if _NOTICE.fullmatch(name)}
    describing.extend(notices.values())
    if single is not None:  # taken before shards, as when the folder is opened
        return Selection(tuple(describing), (single,))
    return Selection((*describing, files[INDEX_NAME]), ())


def select_shards(listing: Listing, names: Iterable[str]) -> tuple[RemoteFile, ...]:
    """Choose the weight files that the index names.

    Raises:
        SourceError: The repository lacks one.
    """
    wanted = tuple(names)
    missing = [name for name in wanted if name not in listing.files]
    if missing:
        raise SourceError(
            f"{listing.repo} lacks {len(missing)} of the {len(wanted)} weight files that its"
            f" {INDEX_NAME} lists, {missing[0]} first"
        )
    return tuple(listing.files[name] for name in wanted)


def select_gguf(listing: Listing, name: str) -> tuple[RemoteFile, ...]:
    """Choose a GGUF file, or all parts of the split model that it belongs to, in order.

    Raises:
        SourceError: It is not there, or a part is missing.
    """
    if name not in listing.files:
        raise SourceError(f"it has no file {name}; {_gguf_files(listing)}")
    match = _PART.fullmatch(name)
    if match is None:
        return (listing.files[name],)
    count = int(match["count"])
    if not 1 <= int(match["number"]) <= count <= _MAX_PARTS:
        raise SourceError(
            f"{name} cannot be a part of a model that is opened here, which has at most"
            f" {_MAX_PARTS}"
        )
    suffix = PurePosixPath(name).suffix
    names = [f"{match['stem']}-{at:05}-of-{count:05}{suffix}" for at in range(1, count + 1)]
    missing = [each for each in names if each not in listing.files]
    if missing:
        raise SourceError(f"{listing.repo} lacks {len(missing)} of {count} parts, {missing[0]}")
    return tuple(listing.files[each] for each in names)


def _without_safetensors(listing: Listing) -> str:
    if _ADAPTER_NAME in listing.files:
        return (
            f"{listing.repo} is an adapter (LoRA) and not a model; export the model that it was"
            " made for"
        )
    if _ggufs(listing):
        return f"{listing.repo} has no safetensors; {_gguf_files(listing)}"
    if any(name.endswith(_PICKLE_SUFFIXES) for name in listing.files):
        return (
            f"{listing.repo} has its weights as PyTorch files only, which can run programs when"
            " they are loaded and are never opened; take a repository with safetensors or GGUF"
        )
    return f"{listing.repo} has neither safetensors nor GGUF files, so there is nothing to export"


def _or_a_gguf(listing: Listing) -> str:
    return f", or a GGUF file of it: {_gguf_files(listing)}" if _ggufs(listing) else ""


def _gguf_files(listing: Listing) -> str:
    """Say what can be asked for instead."""
    names = _ggufs(listing)
    if not names:
        return f"{listing.repo} has no GGUF files"
    shown = ", ".join(names[:_MAX_NAMED])
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"name one of its GGUF files, hf:{listing.repo}/FILE.gguf: {shown}{more}"


def _ggufs(listing: Listing) -> list[str]:
    """GGUF files, of split ones the first part."""
    names = []
    for name in sorted(listing.files):
        part = _PART.fullmatch(name)
        is_first = part is None or int(part["number"]) == 1
        if name.lower().endswith(".gguf") and name.isprintable() and is_first:
            names.append(name)
    return names
