"""Reading GGUF files of versions 2 and 3: the header is parsed, the weights stay on the disk.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The reader of the `gguf` package
takes 7 to 24 seconds on small models and trusts the file; this one takes tenths of a second and
checks everything it reads against the size of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError, UnsupportedError
from edgeagent.export.checkpoint.gguf.checkpoint import SPLIT_COUNT, GGUFCheckpoint
from edgeagent.export.checkpoint.gguf.header import MAX_KEY_BYTES, HeaderCursor, Value
from edgeagent.export.checkpoint.mapped import MappedFile
from edgeagent.export.checkpoint.protocol import TensorInfo
from edgeagent.export.checkpoint.types import BLOCK_TYPES

_MAGIC = b"GGUF"
_FIXED_HEADER_BYTES = 24  # magic, version, tensor count, key count
_MIN_KEY_VALUE_BYTES = 8 + 1 + 4 + 1  # key length, key, type, value
_MIN_TENSOR_INFO_BYTES = 8 + 1 + 4 + 8 + 4 + 8  # name length, name, rank, one size, type, offset
_MAX_RANK = 4
_MAX_TENSOR_NAME_BYTES = 64
_DEFAULT_ALIGNMENT = 32
_KIND = "GGUF file"


class GGUFFile(GGUFCheckpoint):
    """An open GGUF file; use it as a context manager.

    Construct it with `GGUFFile.open`, or with `open_gguf` where the file may be split. Metadata
    and the list of tensors are in memory; the weights are a read-only memory map. A file must not
    be changed while it is open.

    Attributes:
        path: the file.
        files: the file itself.
        size_bytes: its size.
        metadata: every key with its value.
        tensors: every tensor by name, in the order of the file.
    """

    def __init__(
        self, mapped: MappedFile, metadata: dict[str, Value], tensors: dict[str, TensorInfo]
    ) -> None:
        super().__init__(mapped.path, metadata)
        self.size_bytes = mapped.size_bytes
        self.files = (mapped.path,)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(tensors)
        self._mapped = mapped

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file that holds a whole model, and check its header.

        Raises:
            SourceError: the file is missing, not a file, or may not be read.
            DamagedFileError: the file is not GGUF, truncated, or contradicts itself.
            UnsupportedError: another version, big-endian, one of several parts, or a tensor type
                that is not known.
        """
        file = cls.open_part(path, 0)
        try:
            _reject_split(file)
        except BaseException:
            file.close()
            raise
        return file

    @classmethod
    def open_part(cls, path: Path, part: int) -> Self:
        """Open a file that may be one of several parts; see `open` and `SplitGGUF`.

        Args:
            path: the file.
            part: its index, which its tensors get.
        """
        mapped = MappedFile.open(path, _KIND)
        try:
            metadata, tensors = _parse_header(mapped, part)
            return cls(mapped, metadata, tensors)
        except BaseException:
            mapped.close()
            raise

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor as `(rows, row_bytes)`, a view without a copy.

        Raises:
            DamagedFileError: there is no such tensor.
            ValueError: the file is closed.
        """
        return self._mapped.rows(self.tensor(name))

    def release(self) -> None:
        """Let go of the pages that were read so far; they are read again when they are needed."""
        self._mapped.release()

    def close(self) -> None:
        """Release the memory map; views handed out by `raw` keep it alive until they are gone."""
        self._mapped.close()


def _check_head(head: bytes, path: Path) -> None:
    if head[:4] != _MAGIC:
        raise DamagedFileError(f"{path} is not a GGUF file: it does not start with 'GGUF'.")
    if len(head) < _FIXED_HEADER_BYTES:
        raise DamagedFileError(f"{path} is damaged: it ends within the header; download it again.")
    version = int.from_bytes(head[4:8], "little")
    if version not in {2, 3}:
        if int.from_bytes(head[4:8], "big") in {2, 3}:
            raise UnsupportedError(f"{path} is a big-endian GGUF file; only little-endian is read.")
        raise UnsupportedError(f"{path} is GGUF version {version}; versions 2 and 3 are read.")


def _parse_header(mapped: MappedFile, part: int) -> tuple[dict[str, Value], dict[str, TensorInfo]]:
    path, size = mapped.path, mapped.size_bytes
    _check_head(mapped.data[:_FIXED_HEADER_BYTES], path)
    cursor = HeaderCursor(mapped.data, path, size)
    cursor.position = 8
    tensor_count = cursor.u64("the tensor count")
    key_count = cursor.u64("the key count")
    cursor.require(key_count, _MIN_KEY_VALUE_BYTES, f"the list of {key_count} metadata keys")
    metadata = _read_metadata(cursor, key_count)
    what = f"the list of {tensor_count} tensors"
    cursor.require(tensor_count, _MIN_TENSOR_INFO_BYTES, what)
    entries = [_read_tensor_entry(cursor, path, part) for _ in range(tensor_count)]
    alignment = _alignment(metadata, cursor)
    data_start = -(-cursor.position // alignment) * alignment
    return metadata, _place(entries, data_start, alignment, cursor, size)


def _read_metadata(cursor: HeaderCursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for index in range(count):
        key = cursor.string(f"the name of metadata key {index}", MAX_KEY_BYTES)
        if key in metadata:
            raise cursor.damaged(f"metadata key {key[:80]!r} is listed twice")
        metadata[key] = cursor.value(f"metadata key {key[:80]!r}")
    return metadata


def _reject_split(file: GGUFFile) -> None:
    parts = file.get_int(SPLIT_COUNT, 0)
    if parts > 1:
        raise UnsupportedError(f"{file.path} is one of {parts} parts; all of them are needed.")


def _alignment(metadata: dict[str, Value], cursor: HeaderCursor) -> int:
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise cursor.damaged("general.alignment is not a power of two")
    return alignment


def _read_tensor_entry(cursor: HeaderCursor, path: Path, part: int) -> TensorInfo:
    """One entry of the tensor list; its offset still counts from the start of the data."""
    name = cursor.string("a tensor name", _MAX_TENSOR_NAME_BYTES)
    # Names that cannot be printed cannot be written to a package or a message either.
    if not name.isprintable() or not name:
        raise cursor.damaged(f"{name!r} is not the name of a tensor")
    rank = cursor.u32(f"the rank of tensor {name!r}")
    if not 1 <= rank <= _MAX_RANK:
        raise cursor.damaged(f"tensor {name!r} has {rank} axes, not 1 to {_MAX_RANK}")
    sizes = [cursor.u64(f"the shape of tensor {name!r}") for _ in range(rank)]
    shape = tuple(reversed(sizes))  # the file lists the innermost axis first
    type_id = cursor.u32(f"the type of tensor {name!r}")
    offset = cursor.u64(f"the offset of tensor {name!r}")
    kind = BLOCK_TYPES.get(type_id)
    if kind is None:
        raise UnsupportedError(f"{path} stores tensor {name!r} with the unknown type {type_id}.")
    if 0 in shape:
        raise cursor.damaged(f"tensor {name!r} has an axis of size 0")
    if shape[-1] % kind.block_len:
        raise cursor.damaged(
            f"tensor {name!r} has rows of {shape[-1]} weights, not a multiple of the"
            f" {kind.block_len} in a block of {kind}"
        )
    nbytes = prod(shape[:-1]) * kind.row_bytes(shape[-1])
    return TensorInfo(name, _without_outer_ones(shape), kind, offset, nbytes, part)


def _without_outer_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop outer axes of size 1: ggml fills up with them, and only some writers store them."""
    outer = next((axis for axis, size in enumerate(shape[:-1]) if size != 1), len(shape) - 1)
    return shape[outer:]


def _place(
    entries: list[TensorInfo], data_start: int, alignment: int, cursor: HeaderCursor, size: int
) -> dict[str, TensorInfo]:
    """Check where the tensors lie, and count their offsets from the start of the file.

    Each starts where the one before it ends, rounded up to the alignment: every writer does it
    that way and llama.cpp insists on it. So a wrong type or shape is found by the offset after it.
    """
    tensors: dict[str, TensorInfo] = {}
    expected = 0
    for entry in entries:
        if entry.name in tensors:
            raise cursor.damaged(f"tensor {entry.name!r} is listed twice")
        if entry.offset != expected:
            raise cursor.damaged(
                f"tensor {entry.name!r} starts at byte {entry.offset} of the data and not at"
                f" {expected}, where the one before it ends"
            )
        offset = data_start + entry.offset
        if offset + entry.nbytes > size:
            raise cursor.damaged(
                f"tensor {entry.name!r} ends at byte {offset + entry.nbytes} and the file at {size}"
            )
        tensors[entry.name] = replace(entry, offset=offset)
        expected = -(-(entry.offset + entry.nbytes) // alignment) * alignment
    return tensors
