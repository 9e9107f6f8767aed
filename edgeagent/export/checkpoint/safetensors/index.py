"""Which files of a Hugging Face folder hold its weights, and which tensor lies in which."""

from __future__ import annotations

from pathlib import Path

from edgeagent.errors import DamagedFileError, SourceError, UnsupportedError
from edgeagent.export.checkpoint.access import access_to
from edgeagent.export.checkpoint.json_file import Json, read_json_object

SUFFIX = ".safetensors"
SINGLE_NAME = f"model{SUFFIX}"
INDEX_NAME = f"{SINGLE_NAME}.index.json"

_MAX_INDEX_BYTES = 8 * 2**20
_MAX_NAME_CHARS = 200
_MAX_SHARDS = 128
"""Models that fit an edge device have one to ten; each takes a memory map and a file handle."""


def read_weight_map(index: Path) -> dict[str, list[str]]:
    """Read the index of a sharded checkpoint whose shards are beside it.

    Returns:
        The names of the tensors in every shard, by the name of its file, sorted.

    Raises:
        SourceError: The index may not be read, or a shard is missing.
        DamagedFileError: It is not an index, or names files outside its folder.
        UnsupportedError: It has more shards than are opened.
    """
    shards = list_shards(index)
    with access_to(index.parent):
        missing = [name for name in shards if not (index.parent / name).exists()]
    if missing:
        raise SourceError(
            f"{index.parent} lacks {len(missing)} of the {len(shards)} weight files that"
            f" {index.name} lists, {missing[0]} first; complete the download."
        )
    return shards


def list_shards(index: Path) -> dict[str, list[str]]:
    """Read the index of a sharded checkpoint; the shards need not be there yet.

    Returns:
        The names of the tensors in every shard, by the name of its file, sorted.

    Raises:
        SourceError: The index may not be read.
        DamagedFileError: It is not an index, or names files outside its folder.
        UnsupportedError: It has more shards than are opened.
    """
    document = read_json_object(index, _MAX_INDEX_BYTES)
    entries = document.get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise DamagedFileError(f"{index} is damaged: it has no weight_map; download it again.")
    shards: dict[str, list[str]] = {}
    for tensor, shard in entries.items():
        shards.setdefault(_shard_name(shard, index), []).append(tensor)
    if len(shards) > _MAX_SHARDS:
        raise UnsupportedError(
            f"{index} lists {len(shards)} weight files; at most {_MAX_SHARDS} are opened."
        )
    return dict(sorted(shards.items()))


def _shard_name(name: Json, index: Path) -> str:
    """Check that a shard is a file beside the index; a link there may lead to a cache."""
    if not isinstance(name, str) or not name.isprintable() or len(name) > _MAX_NAME_CHARS:
        raise DamagedFileError(f"{index} is damaged: it names a weight file {str(name)[:80]!r}.")
    # A colon names a drive or a stream of a file on Windows.
    if any(mark in name for mark in "/\\:") or not name.removesuffix(SUFFIX).strip(". "):
        raise DamagedFileError(
            f"{index} names the weight file {name[:80]!r}, which is not beside it; only files in"
            " the same folder are opened."
        )
    if not name.endswith(SUFFIX):
        raise DamagedFileError(
            f"{index} names the weight file {name[:80]!r}, which is not a {SUFFIX} file."
        )
    return name
