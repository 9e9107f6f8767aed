"""GGUF models that are split into parts: `name-00001-of-00003.gguf` and its siblings.

Written by `llama-gguf-split` and by the converter of llama.cpp. Every part is a GGUF file of its
own with the keys `split.no` (from 0), `split.count` and `split.tensors.count` (of all parts
together); the metadata of the model is in the first part, which may have no tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError, SourceError, UnsupportedError
from edgeagent.export.checkpoint.access import access_to
from edgeagent.export.checkpoint.gguf.checkpoint import (
    SPLIT_COUNT,
    SPLIT_NO,
    SPLIT_TENSORS,
    GGUFCheckpoint,
)
from edgeagent.export.checkpoint.gguf.reader import GGUFFile
from edgeagent.export.checkpoint.protocol import TensorInfo

_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
_MAX_PARTS = 128
"""Models that fit an edge device have one to ten; each takes a memory map and a file handle."""


class SplitGGUF(GGUFCheckpoint):
    """All parts of a split model, opened as one; use it as a context manager.

    Construct it with `SplitGGUF.open` or `open_gguf`.

    Attributes:
        path: The part that the user named.
        files: All parts in order.
        size_bytes: Bytes of all parts.
        metadata: Every key of the first part with its value.
        tensors: Every tensor by name; `part` says in which file it lies.
    """

    def __init__(self, path: Path, parts: list[GGUFFile], tensors: dict[str, TensorInfo]) -> None:
        super().__init__(path, dict(parts[0].metadata))
        self.files = tuple(part.path for part in parts)
        self.size_bytes = sum(part.size_bytes for part in parts)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(tensors)
        self._parts = parts

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open all parts of a model and check that they belong together.

        Args:
            path: Any of the parts.

        Raises:
            SourceError: A part is missing or may not be read, or the name is not that of a part.
            DamagedFileError: A part is damaged or belongs to another model, or tensors are
                missing or there twice.
            UnsupportedError: What `GGUFFile.open` does not support, or too many parts.
        """
        paths = _paths_of_parts(path)
        with ExitStack() as opened:
            parts: list[GGUFFile] = []
            for index, place in enumerate(paths):
                part = opened.enter_context(GGUFFile.open_part(place, index))
                parts.append(part)
                _check_part(part, index, parts[0], len(paths))
            checkpoint = cls(path, parts, _join(parts))
            opened.pop_all()
        return checkpoint

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor as `(rows, row_bytes)`, a view without a copy.

        Raises:
            DamagedFileError: There is no such tensor.
            ValueError: The checkpoint is closed.
        """
        return self._parts[self.tensor(name).part].raw(name)

    def release(self) -> None:
        """Let go of the pages that were read so far; they are read again when they are needed."""
        for part in self._parts:
            part.release()

    def close(self) -> None:
        """Release the memory maps; views handed out by `raw` keep theirs until they are gone."""
        for part in self._parts:
            part.close()


def open_gguf(path: Path) -> GGUFCheckpoint:
    """Open a GGUF model: one file, or all parts of a split model whichever is named.

    Raises:
        SourceError: A file is missing or may not be read.
        DamagedFileError: A file is not GGUF, truncated, or contradicts itself or another part.
        UnsupportedError: Another version, big-endian, or a tensor type that is not known.
    """
    # A later part may state its place by its name only, so the name is looked at first.
    match = _NAME.fullmatch(path.name)
    if match is not None and int(match["number"]) > 1:
        return SplitGGUF.open(path)
    file = GGUFFile.open_part(path, 0)
    try:
        is_split = file.get_int(SPLIT_COUNT, 1) > 1
    except BaseException:
        file.close()
        raise
    if not is_split:
        return file
    file.close()
    return SplitGGUF.open(path)


def _paths_of_parts(path: Path) -> list[Path]:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise SourceError(
            f"{path} is one part of a split model, and its name does not end in"
            " -00001-of-00002.gguf or the like, from which the names of the others follow; give"
            " the parts the names they had."
        )
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= number <= count:
        raise SourceError(f"{path} cannot be part {number} of {count}; check its name.")
    if count > _MAX_PARTS:
        raise UnsupportedError(
            f"{path} is one of {count} parts; at most {_MAX_PARTS} are opened, so merge them into"
            " fewer (llama-gguf-split --merge)."
        )
    names = [f"{match['stem']}-{at:05}-of-{count:05}.gguf" for at in range(1, count + 1)]
    with access_to(path.parent):
        missing = [name for name in names if not (path.parent / name).exists()]
    if path.name in missing:
        raise SourceError(f"{path} does not exist; give the path of a GGUF file.")
    if missing:
        raise SourceError(
            f"{path.parent} lacks {len(missing)} of the {count} parts of this model,"
            f" {missing[0]} first; complete the download."
        )
    return [path.parent / name for name in names]


def _check_part(part: GGUFFile, index: int, first: GGUFFile, count: int) -> None:
    """Check what a part says about its place; one that says nothing has it by its name."""
    stated = {SPLIT_NO: index, SPLIT_COUNT: count}
    if part is not first:
        stated[SPLIT_TENSORS] = first.get_int(SPLIT_TENSORS)
    for key, expected in stated.items():
        actual = part.get_int(key) if part is first else part.get_int(key, expected)
        if actual != expected:
            raise _mixed(part, f"{key} is {actual} where {expected} belongs")
    for key in part.metadata.keys() & first.metadata.keys() - {SPLIT_NO}:
        if part.metadata[key] != first.metadata[key]:
            raise _mixed(part, f"{key} is not what the first part says")


def _join(parts: list[GGUFFile]) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for part in parts:
        for name in part.tensors.keys() & tensors.keys():
            raise _mixed(part, f"tensor {name!r} is in {parts[tensors[name].part].path.name} too")
        tensors |= part.tensors
    expected = parts[0].get_int(SPLIT_TENSORS)
    if len(tensors) != expected:
        raise _mixed(parts[0], f"the parts have {len(tensors)} tensors and should have {expected}")
    return tensors


def _mixed(part: GGUFFile, what: str) -> DamagedFileError:
    return DamagedFileError(
        f"{part.path} does not belong to the other parts beside it: {what}; download all parts"
        " again from one place."
    )
