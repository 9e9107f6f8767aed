"""Reading GGUF files of versions 2 and 3: the header is parsed, the weights stay on the disk.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The reader of the `gguf` package
takes 7 to 24 seconds on small models and trusts the file; this one takes tenths of a second and
checks everything it reads against the size of the file.
"""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from edgeagent.errors import DamagedFileError, SourceError, UnsupportedError
from edgeagent.export.checkpoint.gguf.header import MAX_KEY_BYTES, HeaderCursor, Value
from edgeagent.export.checkpoint.gguf.metadata import MetadataReader
from edgeagent.export.checkpoint.protocol import TensorInfo
from edgeagent.export.checkpoint.types import BLOCK_TYPES

_MAGIC = b"GGUF"
_FIXED_HEADER_BYTES = 24  # magic, version, tensor count, key count
_MIN_KEY_VALUE_BYTES = 8 + 1 + 4 + 1  # key length, key, type, value
_MIN_TENSOR_INFO_BYTES = 8 + 1 + 4 + 8 + 4 + 8  # name length, name, rank, one size, type, offset
_MAX_RANK = 4
_MAX_TENSOR_NAME_BYTES = 64
_DEFAULT_ALIGNMENT = 32


class GGUFFile(MetadataReader):
    """An open GGUF file; use it as a context manager.

    Construct it with `GGUFFile.open`. Metadata and the list of tensors are in memory; the weights
    are a read-only memory map. A file must not be changed while it is open.

    Attributes:
        path: the file.
        files: the file itself.
        size_bytes: its size.
        metadata: every key with its value.
        tensors: every tensor by name, in the order of the file.
    """

    def __init__(
        self,
        path: Path,
        mapped: mmap.mmap,
        metadata: dict[str, Value],
        tensors: dict[str, TensorInfo],
    ) -> None:
        super().__init__(path, metadata)
        self.size_bytes = len(mapped)
        self.files = (path,)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(tensors)
        self._map = mapped
        self._bytes: npt.NDArray[np.uint8] | None = np.frombuffer(mapped, dtype=np.uint8)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file and check its header.

        Raises:
            SourceError: the file is missing, not a file, or may not be read.
            DamagedFileError: the file is not GGUF, truncated, or contradicts itself.
            UnsupportedError: another version, big-endian, split into parts, or a tensor type
                that is not known.
        """
        mapped = _map_file(path)
        try:
            metadata, tensors = _parse_header(mapped, path)
            return cls(path, mapped, metadata, tensors)
        except BaseException:
            mapped.close()
            raise

    @property
    def architecture(self) -> str:
        """The model family that the file names, for example `llama`."""
        return self.get_str("general.architecture")

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor as `(rows, row_bytes)`, a view without a copy.

        Raises:
            DamagedFileError: there is no such tensor.
            ValueError: the file is closed.
        """
        if self._bytes is None:
            raise ValueError(f"{self.path} is closed")
        tensor = self.tensors.get(name)
        if tensor is None:
            raise DamagedFileError(f"{self.path} has no tensor {name}, which this model needs.")
        part = self._bytes[tensor.offset : tensor.offset + tensor.nbytes]
        return part.reshape(tensor.rows, tensor.type.row_bytes(tensor.in_features))

    def release(self) -> None:
        """Let go of the pages that were read so far; they are read again when they are needed."""
        if hasattr(mmap, "MADV_DONTNEED") and not self._map.closed:  # not on Windows
            self._map.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Release the memory map; views handed out by `raw` keep it alive until they are gone."""
        self._bytes = None
        try:
            self._map.close()
        except BufferError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _map_file(path: Path) -> mmap.mmap:
    try:
        if not path.exists():
            raise SourceError(f"{path} does not exist; give the path of a GGUF file.")
        if not path.is_file():  # opening a named pipe would wait for ever
            raise SourceError(f"{path} is not a regular file; give the path of a GGUF file.")
        with path.open("rb") as file:
            head = file.read(_FIXED_HEADER_BYTES)
            _check_head(head, path)
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{path} cannot be read: {reason}.") from error


def _check_head(head: bytes, path: Path) -> None:
    if not head:
        raise DamagedFileError(f"{path} is empty; download it again.")
    if head[:4] != _MAGIC:
        raise DamagedFileError(f"{path} is not a GGUF file: it does not start with 'GGUF'.")
    if len(head) < _FIXED_HEADER_BYTES:
        raise DamagedFileError(f"{path} is damaged: it ends within the header; download it again.")
    version = int.from_bytes(head[4:8], "little")
    if version not in {2, 3}:
        if int.from_bytes(head[4:8], "big") in {2, 3}:
            raise UnsupportedError(f"{path} is a big-endian GGUF file; only little-endian is read.")
        raise UnsupportedError(f"{path} is GGUF version {version}; versions 2 and 3 are read.")


def _parse_header(mapped: mmap.mmap, path: Path) -> tuple[dict[str, Value], dict[str, TensorInfo]]:
    cursor = HeaderCursor(mapped, path, len(mapped))
    cursor.position = 8
    tensor_count = cursor.u64("the tensor count")
    key_count = cursor.u64("the key count")
    cursor.require(key_count, _MIN_KEY_VALUE_BYTES, f"the list of {key_count} metadata keys")
    metadata = _read_metadata(cursor, key_count)
    _reject_split(metadata, path)
    what = f"the list of {tensor_count} tensors"
    cursor.require(tensor_count, _MIN_TENSOR_INFO_BYTES, what)
    entries = [_read_tensor_entry(cursor, path) for _ in range(tensor_count)]
    alignment = _alignment(metadata, cursor)
    data_start = -(-cursor.position // alignment) * alignment
    tensors: dict[str, TensorInfo] = {}
    for entry in entries:
        tensor = _place(entry, data_start, alignment, len(mapped), cursor)
        if tensor.name in tensors:
            raise cursor.damaged(f"tensor {tensor.name!r} is listed twice")
        tensors[tensor.name] = tensor
    _reject_overlap(tensors, cursor)
    return metadata, tensors


def _read_metadata(cursor: HeaderCursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for index in range(count):
        key = cursor.string(f"the name of metadata key {index}", MAX_KEY_BYTES)
        if key in metadata:
            raise cursor.damaged(f"metadata key {key[:80]!r} is listed twice")
        metadata[key] = cursor.value(f"metadata key {key[:80]!r}")
    return metadata


def _reject_split(metadata: dict[str, Value], path: Path) -> None:
    parts = metadata.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise UnsupportedError(
            f"{path} is one of {parts} parts; merge them into one file first"
            " (llama-gguf-split --merge)."
        )


def _alignment(metadata: dict[str, Value], cursor: HeaderCursor) -> int:
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise cursor.damaged("general.alignment is not a power of two")
    return alignment


def _read_tensor_entry(cursor: HeaderCursor, path: Path) -> TensorInfo:
    """One entry of the tensor list; its offset still counts from the start of the data."""
    name = cursor.string("a tensor name", _MAX_TENSOR_NAME_BYTES)
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
    return TensorInfo(name, shape, kind, offset, nbytes)


def _place(
    entry: TensorInfo, data_start: int, alignment: int, size: int, cursor: HeaderCursor
) -> TensorInfo:
    if entry.offset % alignment:
        raise cursor.damaged(f"tensor {entry.name!r} does not start at a multiple of {alignment}")
    offset = data_start + entry.offset
    if offset + entry.nbytes > size:
        raise cursor.damaged(
            f"tensor {entry.name!r} ends at byte {offset + entry.nbytes} and the file at {size}"
        )
    return TensorInfo(entry.name, entry.shape, entry.type, offset, entry.nbytes)


def _reject_overlap(tensors: dict[str, TensorInfo], cursor: HeaderCursor) -> None:
    ordered = sorted(tensors.values(), key=lambda tensor: tensor.offset)
    for before, after in itertools.pairwise(ordered):
        if before.offset + before.nbytes > after.offset:
            raise cursor.damaged(f"tensors {before.name!r} and {after.name!r} overlap")
